"""Voices: who is told to be heard in a multiplexed track is who is heard in it, by ear.

Every speaker is recorded speech on a tone of its own, so that a listener can tell by the spectrum of a track whose
voice it plays.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route

NAMES = ["alice", "bob", "carol", "dave", "erin", "frank"]
SENTENCES = [
    "The quick brown fox jumps over the lazy dog and then it does it once more.",
    "Whoever speaks is heard and whoever is heard has something to say to us.",
    "It rained on the harbour all morning so that nobody went out to the boats.",
    "A good chairman says little and listens to everybody and comes to an end in time.",
    "She counted the steps to the tower twice and found another number each time.",
    "Between the two rivers there is a village that has no name on any map.",
]


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of each speaker, to be repeated without a pause: who pauses may lose a track."""
    folder = tmp_path_factory.mktemp("speech")
    for number, sentence in enumerate(SENTENCES):
        command = ["espeak-ng", "-z", "-v", "en", "-s", str(150 + 10 * number), "-p", str(30 + 8 * number)]
        subprocess.run([*command, "-w", str(folder / f"{number}.wav"), sentence], check=True)
    return folder


@pytest.fixture
async def room(page: Page, speech: Path) -> Page:
    """A page with ``voices.js`` as ``window.v``."""

    async def recording(route: Route) -> None:
        await route.fulfill(path=speech / Path(route.request.url).name, content_type="audio/wav")

    await page.route("**/speech/*.wav", recording)
    await page.evaluate("async () => { window.v = await import('/voices.js'); }")
    return page


SET_UP = """async ([stream, names, options, listeners]) => {
  window.guests = {};
  for (const [number, name] of names.entries()) guests[name] = await v.Guest.join(stream, name, number, options);
  const { isEncrypted } = options;
  window.ears = [];
  for (const one of listeners) ears.push(await new v.Listener(settings, stream, names).listen({ isEncrypted, ...one }));
  const live = () => ears.every((ear) => names.every((name) => ear.count("active", name) === 1));
  await t.until(live, "all guests to be live");
}"""


def agree(*listeners: list[dict[str, Any]]) -> None:
    """Nobody was heard in a track but in the order in which they were told to be there."""
    for tracks in listeners:
        assert all(track["agrees"] for track in tracks), tracks
        assert all(track["heard"] for track in tracks), "nothing was heard"


@pytest.mark.parametrize("kind", ["plain", "encrypted"])
async def test_six_speakers_in_three_tracks_are_heard_where_they_are_told_to_be(room: Page, kind: str) -> None:
    """Two listeners: one that hears everybody, and one of the speakers, who never hears itself."""
    listeners = [{"multiplexedAudioTracks": 3}, {"multiplexedAudioTracks": 3, "excludedSourceIds": ["alice"]}]
    options = {"isEncrypted": kind == "encrypted"}
    await room.evaluate(SET_UP, [f"six-{kind}", NAMES, options, listeners])
    result: dict[str, Any] = await room.evaluate("""async () => {
      const [ear, own] = ears;
      const { alice, bob, carol, dave, erin, frank } = guests;
      const at = (told, name) => Object.keys(told).find((mid) => told[mid] === name);
      const report = { moves: [] };
      for (const one of [alice, bob, carol]) one.speak();
      const first = await ear.untilHeard("alice", "bob", "carol");
      report.sources = ear.mids.map((mid) => ear.view.sourceOf(mid)).sort();
      // Who falls silent gives way to who speaks; the others stay where they are.
      alice.hush();
      await ear.untilSpeaking("bob", "carol");
      dave.speak();
      const second = await ear.untilHeard("bob", "carol", "dave");
      report.moves.push([at(first, "bob"), at(second, "bob")], [at(first, "carol"), at(second, "carol")]);
      report.moves.push([at(first, "alice"), at(second, "dave")]);
      bob.hush();
      carol.hush();
      await ear.untilSpeaking("dave");
      erin.speak();
      frank.speak();
      const third = await ear.untilHeard("dave", "erin", "frank");
      report.moves.push([at(second, "dave"), at(third, "dave")]);
      // Silence takes nobody's track away.
      for (const one of [dave, erin, frank]) one.hush();
      await ear.untilSpeaking();
      report.kept = { ...ear.told };
      report.third = third;
      // The others are in the second listener's tracks although alice speaks louder than they do.
      for (const one of [dave, erin, frank]) one.speak(2);
      alice.speak(8);
      await own.untilHeard("dave", "erin", "frank");
      for (const one of Object.values(guests)) one.speak();
      await v.wait(3000);
      for (const one of ears) one.end();
      report.comparisons = ears.map((one) => one.comparison());
      report.heardItself = own.log.filter(({ told, heard }) =>
        [...Object.values(told), ...Object.values(heard)].includes("alice")).length;
      const times = ear.speakers.map(({ at }) => at);
      report.rate = (times.length - 1) / ((times.at(-1) - times[0]) / 1000);
      report.sorted = ear.speakers.every(({ speakers }) =>
        speakers.every(({ level }, n) => level <= 0 && level >= -127 && (n === 0 || level <= speakers[n - 1].level)));
      report.named = [...new Set(ear.speakers.flatMap(({ speakers }) => speakers.map(({ sourceId }) => sourceId)))].sort();
      return report;
    }""")
    print(kind, result)
    assert result["sources"] == ["alice", "bob", "carol"]
    assert all(before == after for before, after in result["moves"])
    assert result["kept"] == result["third"]
    agree(*result["comparisons"])
    assert result["heardItself"] == 0
    assert result["named"] == sorted(NAMES)
    assert result["sorted"]
    # 5, and as much as the first and the last of them were late.
    assert 0 < result["rate"] < 6


async def test_a_projection_takes_a_track_out_of_the_pool_and_unproject_gives_it_back(room: Page) -> None:
    await room.evaluate(SET_UP, ["pool", NAMES[:3], {}, [{"multiplexedAudioTracks": 2}]])
    result = await room.evaluate("""async () => {
      const [ear] = ears;
      const { alice, bob, carol } = guests;
      for (const one of [alice, bob]) one.speak();
      const first = await ear.untilHeard("alice", "bob");
      const [mid, other] = ear.mids;
      carol.speak();
      await ear.view.project("carol", [{ media: "audio", mediaId: mid }]);
      await t.until(() => ear.told[mid] === undefined, "nobody to be told there");
      await t.until(() => ear.voice(mid) === "carol", "carol to be heard");
      const projected = [ear.view.sourceOf(mid), ear.told[other] !== "carol"];
      // Whoever is heard on a track of its own is not heard in the pool.
      for (const one of [alice, bob]) one.hush();
      await ear.untilSpeaking("carol");
      await v.wait(1000);
      const alone = ear.told[other];
      await ear.view.unproject([mid]);
      for (const one of [alice, bob]) one.speak();
      carol.hush();
      await ear.untilHeard("alice", "bob");
      // Onto the main track: she is not in the pool, and back again.
      await ear.view.project("alice", [{ media: "audio" }]);
      carol.speak();
      await ear.untilHeard("bob", "carol");
      ear.end();
      return { first, projected, alone };
    }""")
    print(result)
    assert result["projected"] == ["carol", True]
    assert result["alone"] in {"alice", "bob"}


async def test_after_a_reconnection_names_and_sounds_agree_again(room: Page) -> None:
    await room.evaluate(SET_UP, ["again", NAMES[:3], {}, [{"multiplexedAudioTracks": 2}]])
    result = await room.evaluate("""async () => {
      const [ear] = ears;
      const { alice, bob, carol } = guests;
      for (const one of [alice, bob]) one.speak();
      await ear.untilHeard("alice", "bob");
      const [mid] = ear.mids;
      const before = ear.view.webRTCPeer.getTransceivers().find((one) => one.mid === mid).receiver.track;
      ear.view.reconnect();
      const lost = { told: { ...ear.told }, unknown: ear.view.sourceOf(before) === undefined, speakers: ear.speakers.at(-1).speakers };
      await t.until(() => ear.view.state === "connected" && ear.view.isActive(), "the next connection");
      const told = await ear.untilHeard("alice", "bob");
      const sources = ear.view.webRTCPeer.getReceivers().slice(1).map(({ track }) => ear.view.sourceOf(track));
      const after = ear.view.sourceOf(before);
      alice.hush();
      await ear.untilSpeaking("bob");
      carol.speak();
      await ear.untilHeard("bob", "carol");
      ear.end();
      return { lost, told: Object.values(told), sources, after: after === undefined };
    }""")
    print(result)
    assert all(name is None for name in result["lost"]["told"].values())
    assert result["lost"]["unknown"]
    assert result["lost"]["speakers"] == []
    assert result["sources"] == result["told"]
    assert result["after"]


async def test_a_muted_microphone_with_dtx_stays_for_a_minute_and_gives_way_only_when_it_has_to(room: Page) -> None:
    """Longer than every timeout: 5 s until a feed counts as stalled, 30 s until a transport ends."""
    await room.evaluate(SET_UP, ["dtx", NAMES[:3], {"dtx": True}, [{"multiplexedAudioTracks": 2}]])
    result = await room.evaluate("""async () => {
      const [ear] = ears;
      const { alice, bob, carol } = guests;
      for (const one of [alice, bob]) one.speak();
      const first = await ear.untilHeard("alice", "bob");
      alice.track.enabled = false;
      await v.wait(2000);
      const begun = performance.now();
      const from = await alice.sent();
      await v.wait(58000);
      const rate = ((await alice.sent()) - from) / ((performance.now() - begun) / 1000);
      const kept = { ...ear.told };
      const states = [...new Set([...Object.values(guests), ear].flatMap(({ states }) => states))];
      const inactive = ear.events.filter(({ name }) => name === "inactive").length;
      carol.speak();
      const second = await ear.untilHeard("bob", "carol");
      carol.hush();
      await ear.untilSpeaking("bob");
      alice.track.enabled = true;
      const third = await ear.untilHeard("alice", "bob");
      ear.end();
      return { first, rate, kept, states, inactive, second, third, comparison: ear.comparison() };
    }""")
    print(result)
    # Discontinuous transmission: a few packets in a second, where speech has 50.
    assert 1 < result["rate"] < 12
    assert set(result["states"]) == {"connecting", "connected"}
    assert result["inactive"] == 0
    assert result["kept"] == result["first"]
    swapped = {mid: "carol" if name == "alice" else name for mid, name in result["first"].items()}
    assert result["second"] == swapped
    assert result["third"] == result["first"]
    agree(result["comparison"])
