"""WHIP by its standard: a test for each sentence of RFC 9725 that binds a server, which is why there are so many.

The section is in the docstring of each. Where Millicast's reference says otherwise, its clients are served, and the
docstring says why.
"""

import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rostra.config import SignallingConfig
from rostra.model.description import Direction, SessionDescription, Setup
from rostra.model.ice import IceServer
from rostra.model.media import CloseReason, CloseTransport, DtlsRole, TransportId
from rostra.model.token import PublishToken, StreamPattern
from rostra.protocol import sdp
from rostra.server import resources
from tests.server.harness import OFFERS, PUBLISH_OFFER, Server, configured, running
from tests.server.whip_client import FRAGMENT, ROLLED, SDP, fragment, patch, validation, whip

RFC_OFFER = """\
v=0
o=- 5228595038118931041 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=ice-options:trickle ice2
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:EsAw
a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y
a=fingerprint:sha-256 DA:7B:57:DC:28:CE:04:4F:31:79:85:C4:31:67:EB:27:58:29:ED:77:2A:0D:24:AE:ED:AD:30:BC:BD:F1:9C:02
a=setup:actpass
a=mid:0
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:d46fb922-d52a-4e9c-aa87-444eadc1521b ce326ecf-a081-453a-8f9f-0605d5ef4128
a=rtcp-mux
a=rtcp-mux-only
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
m=video 0 UDP/TLS/RTP/SAVPF 96 97
a=mid:1
a=bundle-only
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendonly
a=msid:d46fb922-d52a-4e9c-aa87-444eadc1521b 3956b460-40f4-4d05-acef-03abcdd8c6fd
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
""".replace("\n", "\r\n")
"""The offer of RFC 9725's own example: only its first m-line has a transport."""


def answer_of(reply: httpx.Response) -> SessionDescription:
    assert reply.status_code == 201, reply.text
    return sdp.parse(reply.text)


def published(server: Server) -> TransportId:
    (transport,) = server.engine.transports()
    return transport


def without(offer: str, pattern: str) -> str:
    changed = re.sub(pattern, "", offer, flags=re.MULTILINE)
    assert changed != offer
    return changed


# --- HTTP usage -------------------------------------------------------------------------------------------------


async def test_get_has_no_content_and_is_no_error(server: Server) -> None:
    """§4.1: endpoints and sessions MUST return a 2xx successful response with no content when a GET is received."""
    location = (await whip(server)).headers["location"]
    for url in ("/api/whip/demo", location):
        for method in ("GET", "HEAD"):
            reply = await server.client.request(method, url)
            assert (reply.status_code, reply.content) == (204, b"")
    assert (await server.client.get(location + "x")).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_methods_that_the_endpoint_has_not_are_named_as_such(server: Server, method: str) -> None:
    """§4.1: status codes are those of HTTP (RFC 9110 §15.5.6: 405 MUST come with Allow)."""
    reply = await server.client.request(method, "/api/whip/demo")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST, OPTIONS")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_methods_that_a_session_has_not_are_named_as_such(server: Server, method: str) -> None:
    """§4.1, and what clients do that announce muted tracks there: they take 405 for "no"."""
    location = (await whip(server)).headers["location"]
    reply = await server.client.request(method, location, json={"muted": True})
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, PATCH, DELETE, OPTIONS")
    assert server.engine.transports()


# --- Setting up and ending --------------------------------------------------------------------------------------


async def test_an_offer_makes_a_session(server: Server) -> None:
    """§4.2: the endpoint MUST return 201, application/sdp, the answer, and Location."""
    reply = await whip(server)
    assert (reply.status_code, reply.headers["content-type"]) == (201, SDP)
    assert re.fullmatch(r"/api/whip/resource/[A-Za-z0-9_-]{32}", reply.headers["location"])
    offer, answer = sdp.parse(PUBLISH_OFFER), sdp.parse(reply.text)
    assert [(media.mid, media.kind) for media in answer.media] == [(media.mid, media.kind) for media in offer.media]
    assert server.engine.transport_spec(published(server)).remote_ufrag in PUBLISH_OFFER


async def test_the_answer_follows_jsep(server: Server) -> None:
    """§4.2: the endpoint MUST generate an answer by JSEP's rules for an initial answer (RFC 9429 §5.3.1).

    But for one thing: JSEP has the transport in the tagged m-section alone. Millicast's clients rewrite answers and
    copy what they find in each, so that each has it, and all of them the same.
    """
    reply = await whip(server)
    answer = answer_of(reply)
    assert reply.text.startswith("v=0\r\no=- ")
    assert "\r\ns=-\r\nt=0 0\r\n" in reply.text
    assert answer.origin.session_id < 2**63
    assert (answer.ice_options, answer.ice_lite) == (("trickle", "ice2"), True)
    assert all(media.protocol == "UDP/TLS/RTP/SAVPF" and media.fingerprints for media in answer.media)
    assert all(media.setup is Setup.PASSIVE for media in answer.media)
    assert len({(media.ice, media.fingerprints, media.candidates) for media in answer.media}) == 1


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "application/sdpx", "x" * 2000])
async def test_another_content_type_is_refused(server: Server, content_type: str) -> None:
    """§4.2: another content type than application/sdp MUST be rejected with a 4XX."""
    reply = await whip(server, headers={"Content-Type": content_type})
    assert (reply.status_code, reply.text) == (415, "Unsupported Media Type")


async def test_a_content_type_has_parameters_and_any_case(server: Server) -> None:
    """§4.2, RFC 9110 §8.3.1."""
    reply = await whip(server, headers={"Content-Type": "Application/SDP; charset=utf-8"})
    assert reply.status_code == 201


@pytest.mark.parametrize(
    "offer", ["", "v=0", "hello", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", b"\xff\xfe"]
)
async def test_a_malformed_offer_is_refused(server: Server, offer: str | bytes) -> None:
    """§4.2: malformed SDP MUST be rejected with a 4XX."""
    (line,) = validation(await whip(server, offer))
    assert line.startswith("sdp: ")
    assert server.engine.commands == []


@pytest.mark.parametrize("direction", ["sendonly", "sendrecv"])
async def test_both_directions_of_a_publisher_are_answered_with_recvonly(server: Server, direction: str) -> None:
    """§4.2: clients use sendonly or sendrecv; the endpoint MUST use recvonly in the answer."""
    offer = re.sub(r"^a=send(only|recv)", f"a={direction}", PUBLISH_OFFER, flags=re.MULTILINE)
    answer = answer_of(await whip(server, offer))
    assert {media.direction for media in answer.media} == {Direction.RECVONLY}


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
async def test_an_offer_that_sends_nothing_is_refused(server: Server, direction: str) -> None:
    """§4.2: recvonly and inactive MUST NOT be used."""
    offer = re.sub(r"^a=send(only|recv)", f"a={direction}", PUBLISH_OFFER, flags=re.MULTILINE)
    assert validation(await whip(server, offer)) == ["sdp: The offer has no audio or video m-line that sends."]


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
async def test_a_section_that_sends_nothing_beside_one_that_does_is_answered_inactive(
    server: Server, direction: str
) -> None:
    """§4.2: the endpoint MUST use recvonly, which nothing but what sends can have (RFC 3264 §6.1).

    Millicast's clients offer media that they have switched off as inactive, and want that in the answer.
    """
    offer = re.sub(r"^a=send(only|recv)", f"a={direction}", PUBLISH_OFFER, count=1, flags=re.MULTILINE)
    answer = answer_of(await whip(server, offer))
    assert [media.direction for media in answer.media] == [Direction.INACTIVE, Direction.RECVONLY]


async def test_media_that_the_url_leaves_out_are_answered_inactive(server: Server) -> None:
    """§4.2: the endpoint MUST use recvonly. ``audioOnly`` and its like, of Millicast, ask for less than is offered."""
    answer = answer_of(await whip(server, query="?audioOnly"))
    assert [media.direction for media in answer.media] == [Direction.RECVONLY, Direction.INACTIVE]


async def test_a_session_ends_without_its_client_when_consent_is_lost(server: Server) -> None:
    """§4.2: consent freshness SHALL detect disconnection, DTLS teardown ends a session. Nothing stays."""
    for reason in (CloseReason.CONSENT_LOST, CloseReason.PEER_CLOSED, CloseReason.NEVER_CONNECTED):
        location = (await whip(server)).headers["location"]
        server.engine.drop(published(server), reason)
        await server.until(lambda: not server.engine.has_news)
        assert (await server.client.delete(location)).status_code == 200, "its client may still say good-bye"
        assert (await patch(server, location, etag="*")).status_code == 404


async def test_a_feed_without_packets_stays_until_consent_is_lost(server: Server) -> None:
    """§4.2: there is no socket whose end would say more."""
    location = (await whip(server)).headers["location"]
    await server.start(published(server))
    server.engine.stall(published(server))
    await server.until(lambda: not server.engine.has_news)
    assert (await server.client.get(location)).status_code == 204
    server.engine.resume(published(server))
    await server.until(lambda: not server.engine.has_news)
    assert (await server.client.get(location)).status_code == 204


async def test_a_delete_ends_the_session_at_once(server: Server) -> None:
    """§4.2: on DELETE the session is removed and its resources freed, terminating ICE and DTLS.

    A server that terminates a session MUST revoke consent immediately (RFC 7675 §5.2): nothing is sent any more.
    """
    location = (await whip(server)).headers["location"]
    transport = published(server)
    await server.start(transport)
    gone = await server.client.delete(location)
    assert (gone.status_code, gone.content, server.engine.transports()) == (200, b"", set())
    assert server.engine.commands[-1] == CloseTransport(transport)
    assert (await server.client.delete(location)).status_code == 404


async def test_a_viewer_hears_at_once_that_a_feed_was_deleted(server: Server) -> None:
    """§4.2, and that a source of WHIP is one like every other."""
    location = (await whip(server, query="?sourceId=cam")).headers["location"]
    await server.start(published(server))
    async with server.socket("subscribe") as socket:
        await server.viewed(socket)
        assert (await socket.event("active"))["sourceId"] == "cam"
        await server.client.delete(location)
        assert (await socket.event("inactive"))["sourceId"] == "cam"


async def test_preflights_are_answered_for_endpoints_and_sessions(server: Server) -> None:
    """§4.2: OPTIONS MUST be supported for CORS; 200 to any of them SHOULD have Accept-Post: application/sdp."""
    asked = {"Origin": "https://studio.example", "Access-Control-Request-Method": "POST"}
    location = (await whip(server)).headers["location"]
    for url, extra in (("/api/whip/demo", None), (location, FRAGMENT), ("/api/whip/resource/none", FRAGMENT)):
        reply = await server.client.options(url, headers=asked)
        assert (reply.status_code, reply.content) == (200, b"")
        assert reply.headers["accept-post"] == SDP
        assert reply.headers.get("accept-patch") == extra
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-methods"] == "POST, PATCH, DELETE, OPTIONS"
        assert reply.headers["access-control-allow-headers"] == "Authorization, Content-Type, If-Match"
        assert int(reply.headers["access-control-max-age"]) > 0


async def test_pages_of_others_can_read_replies_of_any_kind(server: Server) -> None:
    """§4.2: CORS for the requests themselves; what is not exposed does not exist for a page."""
    location = (await whip(server)).headers["location"]
    replies = [
        await whip(server),
        await whip(server, token=None),
        await whip(server, "nonsense"),
        await patch(server, location),
        await server.client.put(location),
        await server.client.get("/api/whip/a/b/c"),
        await server.client.delete(location),
    ]
    assert [reply.status_code for reply in replies] == [201, 401, 400, 428, 405, 404, 200]
    for reply in replies:
        assert reply.headers["access-control-allow-origin"] == "*"
        assert {"Location", "Link", "ETag"} <= set(reply.headers["access-control-expose-headers"].split(", "))


# --- ICE --------------------------------------------------------------------------------------------------------


async def test_candidates_are_taken_without_content_and_without_a_tag(server: Server) -> None:
    """§4.3.2: a PATCH that adds candidates MUST get 204 without a body and MUST NOT get an ETag.

    Credentials of now are no restart (RFC 8840 §4.4): that they come again is how candidates say where they belong.
    """
    made = await whip(server)
    for body in (fragment(), fragment("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n".format(*theirs(server)))):
        reply = await patch(server, made.headers["location"], body, etag=made.headers["etag"])
        assert (reply.status_code, reply.content, "etag" in reply.headers) == (204, b"", False)


def theirs(server: Server) -> tuple[str, str]:
    spec = server.engine.transport_spec(published(server))
    return spec.remote_ufrag, spec.remote_pwd


async def test_of_a_bundle_any_m_line_may_bring_candidates(server: Server) -> None:
    """§4.3.2: processing MUST follow RFC 8840 §4.4. The tagged m-line is all that a fragment needs to have; the others
    share its transport, and one that is not known is ignored.
    """
    made = await whip(server)
    for mid in ("0", "1", "7"):
        body = fragment("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n".format(*theirs(server)), mid=mid)
        assert (await patch(server, made.headers["location"], body, etag=made.headers["etag"])).status_code == 204


async def test_a_rejected_m_line_does_not_speak_for_the_bundle(server: Server) -> None:
    """§4.3.2, §4.3.3: what the credentials of now are is said by the first m-line of the bundle that is used."""
    rejected = "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:9\r\na=rtpmap:111 opus/48000/2\r\n"
    for offer in (
        PUBLISH_OFFER.replace("BUNDLE 0 1", "BUNDLE 9 0 1") + rejected,
        PUBLISH_OFFER.replace("BUNDLE 0 1", "BUNDLE unknown 0 1"),
    ):
        made = await whip(server, offer)
        location = made.headers["location"]
        body = fragment("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n".format(*theirs(server)))
        assert (await patch(server, location, body, etag=made.headers["etag"])).status_code == 204
        await server.client.delete(location)


async def test_candidates_that_cannot_be_used_are_discarded_silently(server: Server) -> None:
    """§4.3.2: an unsupported transport or an address that does not resolve MUST be discarded, the rest processed."""
    odd = (
        "a=candidate:1 1 sctp 2122260223 192.0.2.1 61764 typ host\r\n"
        "a=candidate:2 1 udp 2122260223 7f3c.local 61764 typ host\r\n"
        "a=candidate:3 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
        "a=candidate:what is this\r\n"
    )
    made = await whip(server)
    reply = await patch(server, made.headers["location"], fragment(odd), etag=made.headers["etag"])
    assert reply.status_code == 204


async def test_the_answer_has_all_candidates(server: Server) -> None:
    """§4.3.2: the endpoint SHALL gather all candidates before it answers, and the answer SHALL contain them."""
    media = answer_of(await whip(server)).media[0]
    ours = [(candidate.ip, candidate.port) for candidate in server.engine.candidates]
    assert [(candidate.address, candidate.port) for candidate in media.candidates] == ours
    assert media.end_of_candidates


async def test_an_offer_may_have_candidates_or_not(server: Server) -> None:
    """§4.3.2: the offer MAY be sent after gathering, or with an empty list of candidates."""
    extra = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\na=mid:0"
    full = PUBLISH_OFFER.replace("a=mid:0", extra, 1)
    assert full != PUBLISH_OFFER
    for offer in (full, PUBLISH_OFFER):
        assert (await whip(server, offer)).status_code == 201


@pytest.mark.parametrize("content_type", [SDP, "application/json", "", "text/plain"])
async def test_a_patch_of_another_type_is_refused(server: Server, content_type: str) -> None:
    """§4.3.1: another content type than application/trickle-ice-sdpfrag MUST be rejected with a 4XX."""
    made = await whip(server)
    reply = await patch(server, made.headers["location"], etag=made.headers["etag"], content_type=content_type)
    assert (reply.status_code, reply.text) == (415, "Unsupported Media Type")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\r\n",
        "hello",
        "a=ice-ufrag:abcd\r\n",
        "a=ice-pwd:0123456789012345678901\r\n",
        fragment("a=ice-ufrag:abcd\r\na=ice-ufrag:efgh\r\na=ice-pwd:0123456789012345678901\r\n"),
        fragment("a=ice-ufrag:x\r\na=ice-pwd:short\r\n"),
        fragment("a=ice-ufrag:abcd\0\r\na=ice-pwd:0123456789012345678901\r\n"),
        "m=audio\r\n",
        b"\xff",
    ],
)
async def test_a_malformed_fragment_is_refused(server: Server, body: str | bytes) -> None:
    """§4.3.1: a malformed fragment MUST be rejected with a 4XX."""
    made = await whip(server)
    reply = await patch(server, made.headers["location"], body, etag=made.headers["etag"])
    (line,) = validation(reply)
    assert line.startswith(("sdp", "sdpfrag"))
    assert (await patch(server, made.headers["location"], etag=made.headers["etag"])).status_code == 204


async def test_sessions_have_tags_of_their_own(server: Server) -> None:
    """§4.3.1: a unique strong entity-tag MUST identify the ICE session, and the first one MUST be in the 201."""
    tags = [(await whip(server)).headers["etag"] for _ in range(3)]
    assert len(set(tags)) == 3
    assert all(re.fullmatch(r'"[0-9a-f]{24}"', tag) for tag in tags)


async def test_a_missing_tag_is_required_and_a_wrong_one_fails(server: Server) -> None:
    """§4.3.1: 428 for a missing entity tag, 412 for one that does not match."""
    made = await whip(server)
    location, etag = made.headers["location"], made.headers["etag"]
    for wrong in ('"other"', f"W/{etag}", '"a", "b"', etag.upper()):
        assert (await patch(server, location, etag=wrong)).status_code == 412, wrong
    assert (await patch(server, location)).status_code == 428
    assert (await patch(server, location, etag="")).status_code == 428
    for right in (etag, f'"other", {etag}', "*", '"*"'):
        assert (await patch(server, location, etag=right)).status_code == 204, right
    validation(await patch(server, location, etag="no quotes"))


async def test_candidates_and_restarts_are_both_supported(server: Server) -> None:
    """§4.3.1: 422 MUST be returned for what is not supported where only one of them is; §4.3.2: who supports
    candidates MUST use entity tags.
    """
    made = await whip(server)
    location = made.headers["location"]
    candidates = await patch(server, location, etag=made.headers["etag"])
    restart = await patch(server, location, fragment(ROLLED), etag="*")
    assert (candidates.status_code, restart.status_code) == (204, 200)
    assert (await patch(server, location, etag=restart.headers["etag"])).status_code == 204


async def test_a_delete_ignores_tags(server: Server) -> None:
    """§4.3.1: sessions MUST ignore any entity-tag when matching is not required, as in DELETE."""
    location = (await whip(server)).headers["location"]
    reply = await server.client.delete(location, headers={"If-Match": '"long gone"'})
    assert reply.status_code == 200


@pytest.mark.parametrize("condition", ["*", '"*"', "the tag"])
async def test_new_credentials_restart_ice(server: Server, condition: str) -> None:
    """§4.3.3: changed credentials MUST be taken for a restart. It SHALL be answered with 200 and a fragment with our
    new ones and candidates, and MUST be with a new ETag.

    Clients have to send ``*``. The present tag says no less, and is taken, too.
    """
    made = await whip(server)
    answer = answer_of(made)
    before = server.engine.transport_spec(published(server))
    etag = made.headers["etag"]
    reply = await patch(
        server, made.headers["location"], fragment(ROLLED), etag=etag if condition == "the tag" else condition
    )
    assert (reply.status_code, reply.headers["content-type"]) == (200, FRAGMENT)
    assert reply.headers["etag"] not in ("", etag)
    server.engine.check(published(server))
    after = server.engine.transport_spec(published(server))
    assert (after.remote_ufrag, after.remote_pwd) == ("fresh", "a-fresh-password-of-the-peer")
    assert f"a=ice-ufrag:{after.local_ufrag}\r\na=ice-pwd:{after.local_pwd}\r\n" in reply.text
    assert (after.local_ufrag, after.local_pwd) != (before.local_ufrag, before.local_pwd)
    candidate = f"a=candidate:1 1 udp 2130706431 {answer.media[0].candidates[0].address}"
    assert candidate in reply.text
    assert reply.text.endswith("a=end-of-candidates\r\n")


async def test_a_restart_repeats_the_ice_attributes_of_the_answer(server: Server) -> None:
    """§4.3.3: bodies MUST include the same ice-options, ice-pacing and ice-lite as the answer."""
    made = await whip(server)
    reply = await patch(server, made.headers["location"], fragment(ROLLED), etag="*")
    for line in ("a=ice-lite", "a=ice-options:trickle ice2", "a=group:BUNDLE 0 1"):
        assert line in made.text.split("\r\n")
        assert line in reply.text.split("\r\n")
    assert "ice-pacing" not in made.text + reply.text
    (media,) = [line for line in reply.text.split("\r\n") if line.startswith("m=")]
    assert media in made.text.split("\r\n"), "the m-line that speaks for the bundle"


async def test_a_restart_may_have_other_candidates_or_none(server: Server) -> None:
    """§4.3.3: sessions MUST replace the previous set of remote candidates. Ours is always empty: the peer finds us."""
    location = (await whip(server)).headers["location"]
    for place, candidates in enumerate(("", "a=candidate:9 1 udp 2122260223 198.51.100.2 9 typ host\r\n")):
        body = f"a=ice-ufrag:fresh{place}\r\na=ice-pwd:{'p' * 24}\r\n{candidates}"
        assert (await patch(server, location, body, etag="*")).status_code == 200


async def test_a_restart_leaves_everything_else_as_it_was(server: Server) -> None:
    """§4.3.3: sessions MUST assume that what was negotiated besides ICE still applies."""
    made = await whip(server)
    before = server.engine.transport_spec(published(server))
    await patch(server, made.headers["location"], fragment(ROLLED), etag="*")
    server.engine.check(published(server))
    after = server.engine.transport_spec(published(server))
    kept = {name: getattr(before, name) for name in ("local_ufrag", "local_pwd", "remote_ufrag", "remote_pwd")}
    assert replace(after, **kept) == before


async def test_the_tag_of_before_a_restart_is_outdated(server: Server) -> None:
    """§4.3.1: 412 for a tag that does not match, so that late candidates are not taken for those of after a restart."""
    made = await whip(server)
    location, old = made.headers["location"], made.headers["etag"]
    new = (await patch(server, location, fragment(ROLLED), etag="*")).headers["etag"]
    assert (await patch(server, location, fragment(ROLLED), etag=old)).status_code == 412
    assert (await patch(server, location, fragment(ROLLED), etag=new)).status_code == 204, "the same credentials again"


async def test_a_restart_that_cannot_be_satisfied_changes_nothing(server: Server) -> None:
    """§4.3.3: it MUST get an error code, and the session MUST NOT end: the existing ICE session is kept. It MUST end
    when consent expires after that.
    """
    made = await whip(server)
    before = server.engine.transport_spec(published(server))
    capacity, server.engine.capacity = server.engine.capacity, 0
    reply = await patch(server, made.headers["location"], fragment(ROLLED), etag="*")
    assert (reply.status_code, reply.text) == (503, "Server overloaded")
    server.engine.capacity = capacity
    server.engine.check(published(server))
    assert server.engine.transport_spec(published(server)) == before
    assert (await patch(server, made.headers["location"], etag=made.headers["etag"])).status_code == 204
    server.engine.drop(published(server), CloseReason.CONSENT_LOST)
    await server.until(lambda: not server.engine.has_news)
    assert (await patch(server, made.headers["location"], etag=made.headers["etag"])).status_code == 404


# --- What is asked of the offer ---------------------------------------------------------------------------------


async def test_the_standards_own_example_is_answered(server: Server) -> None:
    """§4.2, §4.4.1: a bundle-only m-line has its transport, and rtcp-mux, from the m-line that is tagged."""
    answer = answer_of(await whip(server, RFC_OFFER))
    assert [rtpmap.name for media in answer.media for rtpmap in media.rtpmaps] == ["opus", "VP8", "rtx"]


async def test_everything_is_bundled_and_muxed(server: Server) -> None:
    """§4.4.1: max-bundle SHALL be supported and rtcp-mux SHALL be used; rtcp-mux-only MUST be in each bundled section,
    one that is not used and that says nothing of it in the offer included.
    """
    for offer, query in ((PUBLISH_OFFER, ""), (RFC_OFFER, "?codec=vp8"), (RFC_OFFER, "?audioOnly")):
        answer = answer_of(await whip(server, offer, query=query))
        assert [(group.semantics, group.mids) for group in answer.groups] == [("BUNDLE", ("0", "1"))]
        assert all(media.rtcp_mux and media.rtcp_mux_only for media in answer.media)


async def test_an_offer_without_bundle_is_refused_with_the_reason(server: Server) -> None:
    """§4.4.1: there is one transport."""
    (line,) = validation(await whip(server, without(PUBLISH_OFFER, r"^a=group:BUNDLE.*\r?\n")))
    assert "BUNDLE" in line


async def test_an_offer_without_rtcp_mux_is_refused_with_the_reason(server: Server) -> None:
    """§4.4.1: RTP/RTCP multiplexing SHALL be used."""
    (line,) = validation(await whip(server, without(PUBLISH_OFFER, r"^a=rtcp-mux\r?\n")))
    assert "rtcp-mux" in line


async def test_both_orders_and_single_tracks_are_answered(server: Server) -> None:
    """§4.4.2: at least one track of any kind."""
    head, *sections = re.split(r"(?=^m=)", PUBLISH_OFFER, flags=re.MULTILINE)
    assert len(sections) == 2
    turned = head.replace("BUNDLE 0 1", "BUNDLE 1 0") + sections[1] + sections[0]
    single = head.replace("BUNDLE 0 1", "BUNDLE 0") + sections[0]
    for offer, count in ((turned, 2), (single, 1)):
        answer = answer_of(await whip(server, offer))
        assert len(answer.media) == count
        assert all(media.direction is Direction.RECVONLY for media in answer.media)


async def test_more_tracks_than_one_of_a_kind_are_all_taken(server: Server) -> None:
    """§4.4.2: a number of tracks that is not supported MUST be rejected; this one is supported."""
    _, *sections = re.split(r"(?=^m=)", PUBLISH_OFFER, flags=re.MULTILINE)
    second = re.sub(r"^a=ssrc.*\r?\n", "", sections[1], flags=re.MULTILINE).replace("a=mid:1", "a=mid:2")
    offer = PUBLISH_OFFER.replace("BUNDLE 0 1", "BUNDLE 0 1 2") + second
    answer = answer_of(await whip(server, offer))
    assert [media.direction for media in answer.media] == [Direction.RECVONLY] * 3


async def test_more_tracks_than_a_transport_can_have_are_refused(server: Server) -> None:
    """§4.4.2: a number of tracks that is not supported MUST be rejected with 422 or 400."""
    (line,) = validation(await whip(server, PUBLISH_OFFER + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 255))
    assert line == "sdp: more than 256 m-lines"
    assert server.engine.commands == []


async def test_tracks_of_several_streams_are_taken(server: Server) -> None:
    """§4.4.2: a number of MediaStreams that is not supported MUST be rejected. Ours is any: tracks are what counts."""
    offer = re.sub(r"^a=msid:\S+ (?=3956)", "a=msid:another ", RFC_OFFER, flags=re.MULTILINE)
    assert offer != RFC_OFFER
    answer = answer_of(await whip(server, offer))
    assert {media.direction for media in answer.media} == {Direction.RECVONLY}


async def test_no_part_of_an_offer_is_left_out(server: Server) -> None:
    """§4.4.3: no m-section SHOULD be rejected alone; the request SHOULD be, with 422 or 400."""
    odd = (
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sendonly\r\na=rtcp-mux\r\n"
        "a=rtpmap:96 theora/90000\r\n"
    )
    (line,) = validation(await whip(server, PUBLISH_OFFER.replace("BUNDLE 0 1", "BUNDLE 0 1 2") + odd))
    assert line.startswith("sdp: The m-line 2 of the offer has no h264")
    assert server.engine.commands == []


@pytest.mark.parametrize(
    ("setup", "ours", "role"),
    [
        ("actpass", Setup.PASSIVE, DtlsRole.PASSIVE),
        ("active", Setup.PASSIVE, DtlsRole.PASSIVE),
        ("passive", Setup.ACTIVE, DtlsRole.ACTIVE),
    ],
)
async def test_every_role_of_dtls_has_its_counterpart(server: Server, setup: str, ours: Setup, role: DtlsRole) -> None:
    """§4.4.4: active SHOULD be refused where it is not supported. It is, as is actpass; passive is, too."""
    answer = answer_of(await whip(server, PUBLISH_OFFER.replace("a=setup:actpass", f"a=setup:{setup}")))
    assert {media.setup for media in answer.media} == {ours}
    assert server.engine.transport_spec(published(server)).dtls_role is role


@pytest.mark.parametrize(("algorithm", "size"), [("sha-384", 48), ("sha-512", 64)])
async def test_fingerprints_of_other_algorithms_are_understood(server: Server, algorithm: str, size: int) -> None:
    """§4.4.4, RFC 8122 §5: SHA-256 and better."""
    digest = ":".join(["AB"] * size)
    offer = re.sub(r"a=fingerprint:.*", f"a=fingerprint:{algorithm} {digest}\r", PUBLISH_OFFER)
    assert (await whip(server, offer)).status_code == 201
    assert server.engine.transport_spec(published(server)).fingerprints[0].hash == algorithm
    weak = re.sub(r"a=fingerprint:.*", f"a=fingerprint:sha-1 {':'.join(['AB'] * 20)}\r", PUBLISH_OFFER)
    (line,) = validation(await whip(server, weak))
    assert "sha-256" in line


async def test_the_server_is_ice_lite(server: Server) -> None:
    """§4.4.5: full ICE SHOULD be supported, unless every client can reach the server's address, when lite is enough.

    Millicast's reference wants a lite answer, and addresses that clients reach are what a server has to be told.
    """
    reply = await whip(server)
    head, *_ = reply.text.partition("m=")
    assert "a=ice-lite\r\n" in head


# --- Load, ICE servers ------------------------------------------------------------------------------------------


async def test_a_server_without_room_says_when_to_try_again(server: Server) -> None:
    """§4.5: 503 under load, with Retry-After."""
    server.engine.capacity = 0
    reply = await whip(server)
    assert (reply.status_code, reply.text, reply.headers["retry-after"]) == (503, "Server overloaded", "5")


@pytest.mark.parametrize("path", ["demo/", "/demo", "demo//", "demo/.", "Demo", "resource/", ""])
async def test_nothing_is_redirected(server: Server, path: str) -> None:
    """§4.5: 301 and 302 MUST NOT be used, because clients follow them with GET."""
    reply = await server.client.post(f"/api/whip/{path}", content=PUBLISH_OFFER, headers={"Content-Type": SDP})
    assert reply.status_code in (400, 401, 404, 405)
    assert "location" not in reply.headers


async def test_ice_servers_are_in_the_reply_when_there_are_any(tmp_path: Path) -> None:
    """§4.6: STUN and TURN servers MAY be returned in the 201 by Link, and SHOULD NOT be in preflights."""
    servers = (
        IceServer("stun:stun.example.net"),
        IceServer("turn:turn.example.net?transport=udp", "user", 'my"Password'),
    )
    async with running(tmp_path, configured(signalling=SignallingConfig(ice_servers=servers))) as server:
        stun, turn = (await whip(server)).headers.get_list("link")
        assert stun == '<stun:stun.example.net>; rel="ice-server"'
        target, *attributes = turn.split("; ")
        assert target == "<turn:turn.example.net?transport=udp>"
        credentials = ['username="user"', 'credential="my\\"Password"', 'credential-type="password"']
        assert attributes == ['rel="ice-server"', *credentials]
        assert "link" not in (await server.client.options("/api/whip/demo")).headers
        reply = await server.direct("publish", {"streamName": "demo"}, token=server.publish_token)
        assert reply.json()["data"]["iceServers"] == [
            {"urls": ["stun:stun.example.net"]},
            {"urls": ["turn:turn.example.net?transport=udp"], "username": "user", "credential": 'my"Password'},
        ]


async def test_a_holder_of_a_token_makes_sessions_at_a_measured_rate(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§5: POST flooding; endpoints SHOULD limit the rate of initial requests."""
    monkeypatch.setattr(resources, "MAKES", (3, 0.0))
    other = PublishToken(server.account.id, "q" * 64, "other", (StreamPattern("*"),))
    await server.store.add_publish_token(other)
    assert [(await whip(server, "nonsense")).status_code for _ in range(4)] == [400, 400, 400, 503]
    assert (await whip(server, token=other.value)).status_code == 201, "others are not held up"


async def test_a_session_is_changed_at_a_measured_rate(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """§5: PATCH flooding; endpoints SHOULD limit the rate.

    They SHOULD limit that of DELETE as well: a session has one, and sessions are made at a measured rate. One for a
    session that does not exist costs a look-up, and an id of 192 bits is not found by any number of them.
    """
    monkeypatch.setattr(resources, "CHANGES", (3, 0.0))
    made = await whip(server)
    location, etag = made.headers["location"], made.headers["etag"]
    replies = [await patch(server, location, etag=etag) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [204, 204, 204, 429]
    assert replies[-1].headers["retry-after"] == "1"
    assert (await server.client.delete(location)).status_code == 200


async def test_ids_cannot_be_guessed(server: Server) -> None:
    """§5: URLs with enough randomness, by a cryptographically secure generator: 192 bits."""
    locations = [(await whip(server, query=f"?sourceId={place}")).headers["location"] for place in range(50)]
    names = [location.rpartition("/")[2] for location in locations]
    assert len({name[place : place + 4] for name in names for place in range(0, 32, 4)}) == 50 * 8
    stream = server.account.id, "demo"
    assert not any(part in name for name in names for part in stream)


# --- Who may ----------------------------------------------------------------------------------------------------


async def test_a_bearer_token_opens_the_endpoint(server: Server) -> None:
    """§4.7: HTTP authentication, and bearer tokens of it, MUST be supported by endpoints; 401 MUST come with
    WWW-Authenticate (RFC 9110 §15.5.2).
    """
    for token in (None, "0" * 64, server.subscribe_token, "x" * 5000):
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        reply = await whip(server, token=None, headers=headers)
        assert reply.status_code == 401
        assert reply.text in ("Unauthorized", "Unauthorized: Invalid token")
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert server.engine.commands == []


async def test_a_token_may_be_in_the_url(server: Server) -> None:
    """§4.7.1: authentication by the URL instead."""
    assert (await whip(server, token=None, query=f"?auth={server.publish_token}")).status_code == 201
    assert (await whip(server, token=None, query="?auth=wrong")).status_code == 401
    assert (await whip(server, token=server.publish_token, query="?auth=wrong")).status_code == 201, "the header wins"
    assert (await whip(server, token="wrong", query=f"?auth={server.publish_token}")).status_code == 401


async def test_a_preflight_needs_no_token(server: Server) -> None:
    """§4.7.1: the header is sent in all requests except preflights."""
    assert (await server.client.options("/api/whip/demo")).status_code == 200


async def test_a_session_is_used_with_its_token_or_with_none(server: Server) -> None:
    """§4.7: sessions MUST support bearer tokens; §4.7.1: they MAY need none. The URL alone cannot be guessed."""
    for token in (server.publish_token, None):
        made = await whip(server)
        location = made.headers["location"]
        assert (await patch(server, location, etag=made.headers["etag"], token="0" * 64)).status_code == 403
        assert (await patch(server, location, etag=made.headers["etag"], token=token)).status_code == 204
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        assert (await server.client.delete(location, headers=headers)).status_code == 200


# --- Simulcast, extensions --------------------------------------------------------------------------------------


async def test_simulcast_by_rid_is_accepted(server: Server) -> None:
    """§4.8: a server that accepts simulcast MUST answer by RFC 8853 §5.3.2."""
    offer = (OFFERS / "chromium-publish-simulcast.sdp").read_text()
    answer = answer_of(await whip(server, offer))
    video = next(media for media in answer.media if media.kind == "video")
    assert video.simulcast is not None
    rids = [stream[0].rid for stream in video.simulcast.recv]
    assert sorted(rids) == sorted(re.findall(r"^a=rid:(\w+) send", offer, flags=re.MULTILINE))
    assert [rid.id for rid in video.rids] == rids
    spec = server.engine.transport_spec(published(server))
    assert [encoding.rid for encoding in spec.receive[1].encodings] == rids


async def test_no_extension_is_required(server: Server) -> None:
    """§4.9: extensions MUST be announced by Link, and MUST NOT be required: there are none for publishers."""
    assert "link" not in (await whip(server)).headers


@pytest.mark.parametrize("name", [*sorted(path.stem for path in OFFERS.glob("*publish*.sdp")), "ffmpeg-whip"])
async def test_offers_of_real_clients_are_answered(server: Server, name: str) -> None:
    """§4.2: whatever they have in their offers besides."""
    assert (await whip(server, (OFFERS / f"{name}.sdp").read_text())).status_code == 201


async def test_memory_is_free_after_the_last_session(tmp_path: Path) -> None:
    """§4.2: resources freed."""
    async with running(tmp_path) as server:
        for _ in range(3):
            locations = [(await whip(server, query=f"?sourceId={place}")).headers["location"] for place in range(8)]
            for location in locations[:4]:
                await server.client.delete(location)
            for transport in server.engine.transports():
                server.engine.drop(transport)
            await server.until(lambda: not server.engine.has_news)
            assert server.engine.transports() == set()
            for location in locations:
                assert (await server.client.get(location)).status_code == 404
