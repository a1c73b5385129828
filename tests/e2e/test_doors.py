"""WHIP and WHEP with Chromium, without our SDK and from a page of another origin."""

import pytest
from playwright.async_api import Browser

from .conftest import Server
from .doors import door_page, watching, whip_url


async def test_a_page_publishes_three_encodings_by_rid_and_another_chooses_among_them(
    browser: Browser, server: Server
) -> None:
    publisher, viewer = await door_page(browser, server), await door_page(browser, server)
    token = server.settings["publish_token"]
    await publisher.evaluate(
        """async ([url, token]) => {
          window.p = await d.whip(url, token, { colour: 'green', width: 960, height: 540, simulcast: true });
          const busy = async () => (await d.streams(p, 'outbound-rtp')).filter((one) => one.frames > 5);
          await d.until(async () => (await busy()).length === 3, 'all encodings');
        }""",
        [whip_url(server, "doors"), token],
    )
    sent = await publisher.evaluate("() => d.streams(p, 'outbound-rtp')")
    assert sorted(one["rid"] for one in sent) == ["f", "h", "q"]
    assert {one["codec"] for one in sent} == {"video/H264"}
    trickled = await publisher.evaluate("() => p.trickled")
    assert trickled
    assert set(trickled) == {204}

    await watching(viewer, server, "doors")
    await viewer.evaluate("() => d.untilColour(v, 'green')")
    await viewer.evaluate("() => d.untilMore(v, 'audio')")
    await viewer.evaluate("() => d.listen(v, ['active', 'inactive', 'layers', 'viewercount'])")
    await viewer.evaluate(
        """() => d.until(() => v.events.some(([name, data]) => name === 'layers'
             && data.medias[1].active.length === 3 && data[1].layers.length === 3), 'three layers')"""
    )
    seen = await viewer.evaluate("() => v.events.map(([name]) => name)")
    assert seen[:2] == ["active", "viewercount"]
    for rid, width in (("q", 240), ("f", 960), ("h", 480)):
        assert await viewer.evaluate("(encodingId) => d.layer(v, { encodingId })", rid) == 200
        await viewer.evaluate(
            "(width) => d.until(async () => (await d.streams(v, 'inbound-rtp'))[0].width === width, `${width} pixels`)",
            width,
        )
    assert await viewer.evaluate("() => d.layer(v, null)") == 200

    assert await publisher.evaluate("() => p.close()") == 200
    await viewer.evaluate("() => d.until(() => v.events.some(([name]) => name === 'inactive'), 'the end')")
    assert await viewer.evaluate("() => v.close()") == 200
    assert await viewer.evaluate("() => fetch(v.eventsUrl).then((reply) => reply.status)") == 204


async def test_ice_restarts_on_both_sides_and_nothing_stops(browser: Browser, server: Server) -> None:
    page = await door_page(browser, server)
    await page.evaluate(
        "async ([url, token]) => { window.p = await d.whip(url, token, { colour: 'blue' }); }",
        [whip_url(server, "restarting"), server.settings["publish_token"]],
    )
    await watching(page, server, "restarting")
    await page.evaluate("() => d.untilColour(v, 'blue')")
    for who in ("p", "v", "p"):
        assert await page.evaluate(f"() => {who}.restart()") == "connected"
        await page.evaluate("() => d.untilMore(v, 'video')")
        await page.evaluate("() => d.untilMore(v, 'audio')")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("both", {"kinds": ["video", "audio"], "direction": "sendrecv"}),
        ("picture", {"kinds": ["video"]}),
        ("sound", {"kinds": ["audio"]}),
    ],
)
async def test_viewers_may_offer_what_they_like(
    browser: Browser, server: Server, name: str, options: dict[str, object]
) -> None:
    page = await door_page(browser, server)
    stream = f"offers-{name}"
    await page.evaluate(
        "async ([url, token]) => { window.p = await d.whip(url, token, { colour: 'red' }); }",
        [whip_url(server, stream), server.settings["publish_token"]],
    )
    await watching(page, server, stream, options)
    if name != "sound":
        await page.evaluate("() => d.untilColour(v, 'red')")
    if name != "picture":
        await page.evaluate("() => d.untilMore(v, 'audio')")


@pytest.mark.parametrize("codec", ["vp8", "vp9", "av1"])
async def test_the_codec_of_the_url_is_the_one_that_is_sent(browser: Browser, server: Server, codec: str) -> None:
    page = await door_page(browser, server)
    await page.evaluate(
        "async ([url, token]) => { window.p = await d.whip(url, token, { colour: 'green' }); }",
        [whip_url(server, f"codec-{codec}", f"?codec={codec}"), server.settings["publish_token"]],
    )
    await watching(page, server, f"codec-{codec}")
    await page.evaluate("() => d.untilColour(v, 'green')")
    received = await page.evaluate("() => d.streams(v, 'inbound-rtp')")
    assert received[0]["codec"] == f"video/{codec.upper()}"
