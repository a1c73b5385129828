use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::ids::ConnectionId;
use crate::outbox::Via;
use crate::transport::stun::testing::request_with;
use crate::transport::stun::{MAX_RESPONSE, Request, parse, write_request};

const PWD: &str = "ourpasswordourpassword";

fn ice() -> IceLite {
    IceLite::new("ours", PWD, "theirs")
}

fn path(port: u16) -> Path {
    Path {
        local: SocketAddr::from(([127, 0, 0, 1], 1)),
        remote: SocketAddr::from(([127, 0, 0, 1], port)),
        via: Via::Udp,
    }
}

fn check(use_candidate: bool) -> Vec<u8> {
    check_as(IceRole::Controlling(1), use_candidate)
}

fn check_as(role: IceRole, use_candidate: bool) -> Vec<u8> {
    check_with("ours", "theirs", PWD, role, use_candidate)
}

fn check_with(to_ufrag: &str, from_ufrag: &str, pwd: &str, role: IceRole, use_candidate: bool) -> Vec<u8> {
    let mut out = vec![0; 512];
    let request = Request {
        transaction: [3; 12],
        to_ufrag,
        from_ufrag,
        pwd: pwd.as_bytes(),
        priority: 1,
        role,
        use_candidate,
    };
    let len = write_request(&mut out, &request).unwrap();
    out.truncate(len);
    out
}

/// What the agent says, and its response.
fn ask(ice: &mut IceLite, now: Time, path: Path, bytes: &[u8]) -> Result<(Checked, Vec<u8>), DropReason> {
    let mut reply = [0xAA; MAX_RESPONSE];
    let result = ice.request(now, path, &parse(bytes).unwrap(), &mut reply);
    if result.is_err() {
        assert_eq!(reply, [0xAA; MAX_RESPONSE], "nothing is written for a stranger");
    }
    result.map(|checked| {
        let len = checked.reply_len;
        (checked, reply[..len].to_vec())
    })
}

fn is_untouched(ice: &IceLite) -> bool {
    ice.valid.is_empty() && ice.media_path().is_none() && !ice.is_valid(&path(9))
}

#[test]
fn a_check_is_answered_with_the_address_that_it_came_from() {
    let mut ice = ice();
    let (checked, reply) = ask(&mut ice, Time(5), path(9), &check(false)).unwrap();
    let reply = parse(&reply).unwrap();
    assert_eq!(reply.class(), MessageClass::Success);
    assert_eq!(reply.transaction(), &[3; 12]);
    assert_eq!(reply.mapped_address(), Some(path(9).remote));
    assert!(reply.verify(PWD.as_bytes()));
    assert!(checked.moved && ice.is_valid(&path(9)) && !ice.is_valid(&path(10)));
    assert_eq!(ice.media_path(), Some(path(9)));
}

#[test]
fn a1_request_without_integrity_changes_nothing() {
    let mut ice = ice();
    let bytes = request_with("ours:theirs", None, &[]);
    assert_eq!(
        ask(&mut ice, Time(5), path(9), &bytes).unwrap_err(),
        DropReason::StunUnauthenticated
    );
    assert!(is_untouched(&ice));
}

#[test]
fn a1_request_with_wrong_integrity_changes_nothing_of_a_living_transport() {
    let mut ice = ice();
    ask(&mut ice, Time(5), path(8), &check(true)).unwrap();
    let bytes = request_with("ours:theirs", Some(b"guess"), &[(0x0025, &[])]);
    assert_eq!(
        ask(&mut ice, Time(6), path(9), &bytes).unwrap_err(),
        DropReason::StunUnauthenticated
    );
    assert_eq!(ice.media_path(), Some(path(8)));
    assert!(ice.is_valid(&path(8)) && !ice.is_valid(&path(9)));
}

#[test]
fn a2_right_integrity_under_another_name_is_dropped() {
    for username in [
        "ours:somebody",
        "other:theirs",
        "ours",
        "ours:",
        "ours:theirs:more",
        ":",
        "",
    ] {
        let mut ice = ice();
        let bytes = request_with(username, Some(PWD.as_bytes()), &[]);
        assert_eq!(
            ask(&mut ice, Time(5), path(9), &bytes).unwrap_err(),
            DropReason::StunUnauthenticated,
            "{username}"
        );
        assert!(is_untouched(&ice));
    }
}

#[test]
fn a3_an_authenticated_request_that_we_do_not_understand_gets_420_and_changes_nothing() {
    let mut ice = ice();
    let bytes = request_with("ours:theirs", Some(PWD.as_bytes()), &[(0x7001, &[1])]);
    let (checked, reply) = ask(&mut ice, Time(5), path(9), &bytes).unwrap();
    assert_eq!(parse(&reply).unwrap().error_code(), Some(420));
    assert!(!checked.moved && is_untouched(&ice));
}

#[test]
fn a4_responses_are_never_expected() {
    let mut ice = ice();
    let mut out = [0; MAX_RESPONSE];
    let len = stun::write_success(&mut out, &[3; 12], path(9).remote, PWD.as_bytes()).unwrap();
    assert_eq!(
        ask(&mut ice, Time(5), path(9), &out[..len]).unwrap_err(),
        DropReason::StunUnexpected
    );
    let len = stun::write_error(&mut out, &[3; 12], ErrorCode::RoleConflict, &[], PWD.as_bytes()).unwrap();
    assert_eq!(
        ask(&mut ice, Time(5), path(9), &out[..len]).unwrap_err(),
        DropReason::StunUnexpected
    );
    assert!(is_untouched(&ice));
}

#[test]
fn a6_a_peer_in_our_role_is_told_so_each_time_and_gets_no_path() {
    let mut ice = ice();
    for tie_breaker in [0, u64::MAX] {
        let bytes = check_as(IceRole::Controlled(tie_breaker), true);
        let (checked, reply) = ask(&mut ice, Time(5), path(9), &bytes).unwrap();
        let reply = parse(&reply).unwrap();
        assert_eq!(reply.error_code(), Some(487));
        assert!(reply.verify(PWD.as_bytes()) && !checked.moved && is_untouched(&ice));
    }
    assert!(ask(&mut ice, Time(6), path(9), &check(true)).unwrap().0.moved);
}

#[test]
fn a7_the_media_path_moves_on_nomination_only() {
    let mut ice = ice();
    assert!(
        ask(&mut ice, Time(1), path(1), &check(false)).unwrap().0.moved,
        "the first valid path"
    );
    assert!(!ask(&mut ice, Time(2), path(2), &check(false)).unwrap().0.moved);
    assert_eq!(ice.media_path(), Some(path(1)));
    assert!(ice.is_valid(&path(2)), "media may come from it all the same");
    assert!(ask(&mut ice, Time(3), path(2), &check(true)).unwrap().0.moved);
    assert_eq!(ice.media_path(), Some(path(2)));
    assert!(
        !ask(&mut ice, Time(4), path(2), &check(true)).unwrap().0.moved,
        "already there"
    );
}

#[test]
fn a_path_is_both_of_its_ends() {
    let mut ice = ice();
    ask(&mut ice, Time(1), path(1), &check(true)).unwrap();
    let mut other = path(1);
    other.local = SocketAddr::from(([127, 0, 0, 2], 1));
    assert!(!ice.is_valid(&other));
}

#[test]
fn one_path_too_many_replaces_the_stalest_but_never_the_media_path() {
    let mut ice = ice();
    for port in 0..MAX_PATHS as u16 {
        ask(
            &mut ice,
            Time::ZERO + Duration::from_secs(port.into()),
            path(port),
            &check(port == 0),
        )
        .unwrap();
    }
    ask(&mut ice, Time::ZERO + Duration::from_secs(100), path(1), &check(false)).unwrap();
    ask(&mut ice, Time::ZERO + Duration::from_secs(101), path(99), &check(false)).unwrap();
    assert_eq!(ice.valid.len(), MAX_PATHS);
    assert!(ice.is_valid(&path(0)), "where media goes");
    assert!(ice.is_valid(&path(1)), "checked lately");
    assert!(ice.is_valid(&path(99)), "the new one");
    assert!(!ice.is_valid(&path(2)), "checked longest ago");
}

const NEXT_PWD: &str = "ournextpasswordournextpw";

fn check_after_restart(role: IceRole, use_candidate: bool) -> Vec<u8> {
    check_with("next", "theirs2", NEXT_PWD, role, use_candidate)
}

fn ufrags(ice: &IceLite) -> Vec<&str> {
    ice.local_ufrags().collect()
}

#[test]
fn both_sets_of_credentials_count_until_the_first_check_with_the_new_one() {
    let controlling = IceRole::Controlling(1);
    let mut ice = ice();
    ask(&mut ice, Time(1), path(1), &check(true)).unwrap();
    assert_eq!(ice.restart("next", NEXT_PWD, "theirs2"), None);
    assert_eq!(ufrags(&ice), ["ours", "next"]);
    let (checked, _) = ask(&mut ice, Time(2), path(1), &check(false)).unwrap();
    assert_eq!(checked.retired, None);

    let (checked, reply) = ask(&mut ice, Time(3), path(2), &check_after_restart(controlling, false)).unwrap();
    assert_eq!(checked.retired.as_deref(), Some("ours"));
    assert!(
        parse(&reply).unwrap().verify(NEXT_PWD.as_bytes()),
        "answered with its own password"
    );
    assert_eq!(ufrags(&ice), ["next"]);
    assert_eq!(
        ask(&mut ice, Time(4), path(1), &check(true)).unwrap_err(),
        DropReason::StunUnauthenticated
    );
    let (checked, _) = ask(&mut ice, Time(5), path(2), &check_after_restart(controlling, true)).unwrap();
    assert_eq!((checked.moved, checked.retired), (true, None));
}

#[test]
fn a_restart_leaves_media_where_it_is_until_the_peer_nominates() {
    let mut ice = ice();
    ask(&mut ice, Time(1), path(1), &check(true)).unwrap();
    ice.restart("next", NEXT_PWD, "theirs2");
    ask(
        &mut ice,
        Time(2),
        path(2),
        &check_after_restart(IceRole::Controlling(1), false),
    )
    .unwrap();
    assert_eq!(ice.media_path(), Some(path(1)));
    assert!(ice.is_valid(&path(1)) && ice.is_valid(&path(2)));
    ask(
        &mut ice,
        Time(3),
        path(2),
        &check_after_restart(IceRole::Controlling(1), true),
    )
    .unwrap();
    assert_eq!(ice.media_path(), Some(path(2)));
}

#[test]
fn paths_of_before_a_restart_end_a_little_after_the_first_nomination() {
    let (old, new) = (check(true), |nominate| {
        check_after_restart(IceRole::Controlling(1), nominate)
    });
    let mut ice = ice();
    for port in [1, 2, 3] {
        ask(&mut ice, Time(1), path(port), &old).unwrap();
    }
    ice.restart("next", NEXT_PWD, "theirs2");
    let at = |ice: &mut IceLite, since: Duration, port, nominate| {
        let (checked, _) = ask(ice, Time(2) + since, path(port), &new(nominate)).unwrap();
        checked.parted
    };
    assert!(!at(&mut ice, Duration::ZERO, 3, false));
    assert!(!at(&mut ice, 10 * PARTING, 4, false), "nothing is nominated");
    assert!(!at(&mut ice, 11 * PARTING, 4, true));
    assert!(!at(&mut ice, 12 * PARTING - Duration::from_micros(1), 4, true));
    assert!(
        (1..=4).all(|port| ice.is_valid(&path(port))),
        "what is on its way arrives"
    );
    assert!(at(&mut ice, 12 * PARTING, 3, false));
    let left: Vec<_> = (1..=4).filter(|port| ice.is_valid(&path(*port))).collect();
    assert_eq!(left, [3, 4], "those that the new credentials validated");
    assert_eq!(ice.media_path(), Some(path(4)));
    assert!(!at(&mut ice, 14 * PARTING, 4, true), "once");
}

#[test]
fn the_media_path_of_before_a_restart_stays_while_media_has_no_other() {
    let controlling = IceRole::Controlling(1);
    let mut ice = ice();
    ask(&mut ice, Time(1), path(1), &check(true)).unwrap();
    ice.restart("next", NEXT_PWD, "theirs2");
    ask(&mut ice, Time(2), path(2), &check_after_restart(controlling, true)).unwrap();
    ice.forget(&path(2));
    assert_eq!(ice.media_path(), Some(path(1)));
    let later = Time(2) + PARTING;
    ask(&mut ice, later, path(3), &check_after_restart(controlling, false)).unwrap();
    assert_eq!(ice.media_path(), Some(path(1)));
    assert!(ice.is_valid(&path(1)));
    // A second nomination begins anew.
    ask(&mut ice, later, path(3), &check_after_restart(controlling, true)).unwrap();
    let (checked, _) = ask(
        &mut ice,
        later + PARTING,
        path(3),
        &check_after_restart(controlling, true),
    )
    .unwrap();
    assert!(checked.parted && !ice.is_valid(&path(1)));
}

#[test]
fn a_restart_takes_the_place_of_one_that_nobody_took_up() {
    let mut ice = ice();
    ice.restart("unused", "unusedpasswordunusedpw", "theirs1");
    assert_eq!(ice.restart("next", NEXT_PWD, "theirs2").as_deref(), Some("unused"));
    assert_eq!(ufrags(&ice), ["ours", "next"]);
    let unused = check_with(
        "unused",
        "theirs1",
        "unusedpasswordunusedpw",
        IceRole::Controlling(1),
        true,
    );
    assert_eq!(
        ask(&mut ice, Time(1), path(1), &unused).unwrap_err(),
        DropReason::StunUnauthenticated
    );
}

#[test]
fn credentials_of_before_and_after_a_restart_do_not_mix() {
    let controlling = IceRole::Controlling(1);
    let mut ice = ice();
    ice.restart("next", NEXT_PWD, "theirs2");
    for (to, from, pwd) in [
        ("next", "theirs2", PWD),
        ("ours", "theirs", NEXT_PWD),
        ("next", "theirs", NEXT_PWD),
        ("ours", "theirs2", PWD),
    ] {
        let bytes = check_with(to, from, pwd, controlling, true);
        assert_eq!(
            ask(&mut ice, Time(1), path(1), &bytes).unwrap_err(),
            DropReason::StunUnauthenticated,
            "{to}:{from}"
        );
    }
    assert!(is_untouched(&ice));
    assert_eq!(ufrags(&ice), ["ours", "next"]);
}

#[test]
fn a_check_that_is_refused_retires_nothing() {
    let mut ice = ice();
    ice.restart("next", NEXT_PWD, "theirs2");
    let (checked, reply) = ask(
        &mut ice,
        Time(1),
        path(1),
        &check_after_restart(IceRole::Controlled(1), true),
    )
    .unwrap();
    assert_eq!(
        (parse(&reply).unwrap().error_code(), checked.retired),
        (Some(487), None)
    );
    assert_eq!(ufrags(&ice), ["ours", "next"]);
}

#[test]
fn no_room_for_the_response_means_no_response() {
    let mut ice = ice();
    let bytes = check(true);
    let checked = ice
        .request(Time(1), path(1), &parse(&bytes).unwrap(), &mut [0; 20])
        .unwrap();
    assert_eq!((checked.reply_len, checked.moved), (0, true));
}

#[test]
fn passwords_stay_out_of_debug_output() {
    assert!(!format!("{:?}", ice()).contains(PWD));
}

#[test]
fn a_connection_and_datagrams_between_the_same_addresses_are_two_paths() {
    let mut ice = ice();
    let tcp = |number| Path {
        via: Via::Tcp(ConnectionId(number)),
        ..path(9)
    };
    ask(&mut ice, Time(5), tcp(1), &check(false)).unwrap();
    assert!(ice.is_valid(&tcp(1)) && !ice.is_valid(&tcp(2)) && !ice.is_valid(&path(9)));
    assert_eq!(ice.media_path(), Some(tcp(1)));
}

#[test]
fn the_media_of_a_forgotten_path_moves_to_the_one_that_was_checked_last_or_waits() {
    let mut ice = ice();
    for (at, port) in [(5, 9), (6, 10), (7, 11)] {
        ask(&mut ice, Time(at), path(port), &check(false)).unwrap();
    }
    ice.forget(&path(9));
    assert_eq!(ice.media_path(), Some(path(11)));
    ice.forget(&path(10));
    assert_eq!(ice.media_path(), Some(path(11)));
    ice.forget(&path(11));
    assert_eq!(ice.media_path(), None);
    ask(&mut ice, Time(9), path(12), &check(false)).unwrap();
    assert_eq!(ice.media_path(), Some(path(12)));
}
