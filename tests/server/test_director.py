"""The director: tokens in, signalling URLs out."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rostra.config import HttpConfig, SignallingConfig
from rostra.model.token import PublishToken, StreamPattern, SubscribeToken
from tests.server.harness import Server, configured, running

NOBODY = "0" * 64


def failed(reply: httpx.Response, status: int, message: str) -> dict[str, object]:
    """The data of a failure, which has to look like this."""
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert (reply.status_code, body["status"], body["data"]["message"]) == (status, "fail", message)
    data: dict[str, object] = body["data"]
    return data


async def test_publish_gives_a_url_of_this_host_and_a_token_for_it(server: Server) -> None:
    reply = await server.direct("publish", {"streamName": "demo", "streamType": "WebRtc"}, token=server.publish_token)
    assert reply.status_code == 200
    body = reply.json()
    data = body["data"]
    assert body["status"] == "success"
    (url,) = data["urls"]
    assert url == data["wsUrl"]
    assert url.startswith(server.http.replace("http:", "ws:") + "/ws/v2/pub/")
    assert len(url.rpartition("/")[2]) == 32
    assert (data["iceServers"], data["streamAccountId"], data["subscribeRequiresAuth"]) == (
        [],
        server.account.id,
        False,
    )


async def test_subscribe_gives_the_same_for_a_live_stream(server: Server) -> None:
    async with server.publisher():
        body = {"streamName": "demo", "streamAccountId": server.account.id}
        for token in (server.subscribe_token, None):
            reply = await server.direct("subscribe", body, token=token)
            assert reply.status_code == 200
            data = reply.json()["data"]
            assert "/ws/v2/sub/" in data["urls"][0]
            assert "subscribeRequiresAuth" not in data


async def test_clients_that_know_better_names_for_fields_are_understood(server: Server) -> None:
    async with server.publisher():
        spaces = await server.direct(
            "subscribe", {"streamName": "demo", "accountId": "ignored"}, token=server.subscribe_token
        )
        unreal = await server.direct(
            "subscribe",
            {"streamName": "demo", "streamAccountId": server.account.id, "unauthorizedSubscribe": "true"},
            headers={"Authorization": "NoAuth"},
        )
        assert (spaces.status_code, unreal.status_code) == (200, 200)


async def test_an_offline_stream_is_not_being_published(server: Server) -> None:
    body = {"streamName": "demo", "streamAccountId": server.account.id}
    for token in (server.subscribe_token, None):
        data = failed(await server.direct("subscribe", body, token=token), 400, "stream not being published")
        assert data["streamId"] == f"{server.account.id}/demo"
        assert data["code"] == "not_published"


async def test_viewers_may_wait_where_that_is_allowed(tmp_path: Path) -> None:
    config = configured(signalling=SignallingConfig(allow_offline_subscribe=True))
    async with running(tmp_path, config) as server:
        body = {"streamName": "demo", "streamAccountId": server.account.id}
        for token in (server.subscribe_token, None):
            assert (await server.direct("subscribe", body, token=token)).status_code == 200
        private = PublishToken(server.account.id, "q" * 64, "", (StreamPattern("demo"),), subscribe_requires_auth=True)
        await server.store.add_publish_token(private)
        failed(await server.direct("subscribe", body), 401, "Unauthorized")


async def test_an_unknown_account_has_no_streams(server: Server) -> None:
    reply = await server.direct("subscribe", {"streamName": "demo", "streamAccountId": "nobody"})
    data = failed(reply, 400, "stream not found")
    assert (data["streamId"], data["code"]) == ("nobody/demo", "account_not_found")


async def test_a_stream_that_needs_a_token_is_closed_to_the_public(server: Server) -> None:
    private = PublishToken(server.account.id, "q" * 64, "", (StreamPattern("demo"),), subscribe_requires_auth=True)
    await server.store.add_publish_token(private)
    async with replace(server, publish_token=private.value).publisher():
        body = {"streamName": "demo", "streamAccountId": server.account.id}
        failed(await server.direct("subscribe", body), 401, "Unauthorized")
        assert (await server.direct("subscribe", body, token=server.subscribe_token)).status_code == 200


@pytest.mark.parametrize("action", ["publish", "subscribe"])
async def test_a25_a_bad_token_opens_nothing(server: Server, action: str) -> None:
    other = server.subscribe_token if action == "publish" else server.publish_token
    bad = [NOBODY, other, "x" * 5000, "eyJhbGciOiJub25lIn0.e30.", "' OR 1=1 --"]
    for token in bad:
        reply = await server.direct(action, {"streamName": "demo"}, token=token)
        failed(reply, 401, "Unauthorized: Invalid token")


async def test_a25_an_expired_and_a_disabled_token_open_nothing(server: Server) -> None:
    expired = PublishToken(server.account.id, "e" * 64, "", (StreamPattern("*"),), expires_at=1)
    disabled = SubscribeToken(server.account.id, "d" * 64, "", (StreamPattern("*"),), is_active=False)
    await server.store.add_publish_token(expired)
    await server.store.add_subscribe_token(disabled)
    for action, token in (("publish", expired.value), ("subscribe", disabled.value)):
        reply = await server.direct(action, {"streamName": "demo"}, token=token)
        failed(reply, 401, "Unauthorized: Invalid token")


async def test_a25_a_token_ends_where_its_pattern_ends(server: Server) -> None:
    narrow = PublishToken(server.account.id, "n" * 64, "", (StreamPattern("show-*"),))
    await server.store.add_publish_token(narrow)
    assert (await server.direct("publish", {"streamName": "show-1"}, token=narrow.value)).status_code == 200
    for name in ("show", "Show-1", "x-show-1", "*"):
        reply = await server.direct("publish", {"streamName": name}, token=narrow.value)
        failed(reply, 400, "StreamName is not valid for token")


async def test_publishing_needs_a_token(server: Server) -> None:
    failed(await server.direct("publish", {"streamName": "demo"}), 401, "Unauthorized")
    noauth = await server.direct("publish", {"streamName": "demo"}, headers={"Authorization": "NoAuth"})
    failed(noauth, 401, "Unauthorized")


async def test_a_token_of_another_account_is_refused(server: Server) -> None:
    body = {"streamName": "demo", "streamAccountId": "other1"}
    failed(await server.direct("subscribe", body, token=server.subscribe_token), 401, "Unauthorized")


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("publish", "{}", "streamName"),
        ("publish", '{"streamName": 5}', "streamName"),
        ("publish", '{"streamName": ""}', "streamName"),
        ("publish", '{"streamName": "a\\u0000b"}', "streamName"),
        ("publish", json.dumps({"streamName": "x" * 129}), "streamName"),
        ("publish", '{"streamName": "demo", "streamType": "Carrier pigeon"}', "streamType"),
        ("publish", '{"streamName": "demo", "streamType": "Rtmp"}', "streamType"),
        ("publish", "not json", "body"),
        ("publish", "[]", "body"),
        ("publish", "\xff\xfe", "body"),
        ("publish", "[" * 10_000, "body"),
        ("subscribe", '{"streamName": {"streamName": "demo", "streamAccountId": "a"}}', "streamName"),
        ("subscribe", '{"streamName": "demo"}', "streamAccountId"),
        ("subscribe", '{"streamName": "demo", "streamAccountId": 7}', "streamAccountId"),
    ],
)
async def test_a_malformed_body_is_a_validation_error(server: Server, action: str, body: str, field: str) -> None:
    headers = {"Content-Type": "application/json"}
    if action == "publish":
        headers["Authorization"] = f"Bearer {server.publish_token}"
    reply = await server.client.post(f"/api/director/{action}", content=body.encode("latin-1"), headers=headers)
    data = failed(reply, 400, "Validation errors")
    assert data["code"] == "validation_failed"
    errors = data["errors"]
    assert isinstance(errors, dict)
    assert list(errors) == [field]


async def test_another_content_type_is_refused(server: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        reply = await server.client.post("/api/director/publish", content="{}", headers={"Content-Type": kind})
        failed(reply, 415, "Unsupported Media Type")
    reply = await server.client.post(
        "/api/director/publish",
        content='{"streamName":"a"}',
        headers={"Content-Type": "application/json; charset=utf-8"},
    )
    failed(reply, 401, "Unauthorized")


async def test_a_body_over_the_cap_is_refused(server: Server) -> None:
    failed(await server.direct("publish", {"streamName": "x" * 20_000}), 413, "Content Too Large")


async def test_other_methods_and_paths_fail_as_json(server: Server) -> None:
    failed(await server.client.get("/api/director/publish"), 405, "Method Not Allowed")
    failed(await server.client.delete("/healthz"), 405, "Method Not Allowed")
    failed(await server.client.post("/api/director/nothing", json={}), 404, "Not Found")
    failed(await server.client.get("/no/such/page"), 404, "Not Found")


async def test_a_fault_of_ours_fails_as_json(server: Server) -> None:
    async with server.store._engine.begin() as database:
        await database.exec_driver_sql("DROP TABLE token")
    reply = await server.direct("publish", {"streamName": "demo"}, token=server.publish_token)
    failed(reply, 500, "Internal Server Error")
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_pages_of_other_origins_may_ask(server: Server) -> None:
    for action in ("publish", "subscribe"):
        reply = await server.client.options(
            f"/api/director/{action}",
            headers={"Origin": "https://example.org", "Access-Control-Request-Method": "POST"},
        )
        assert reply.status_code == 204
        assert reply.headers["access-control-allow-origin"] == "*"
        assert "POST" in reply.headers["access-control-allow-methods"]
        assert reply.headers["access-control-allow-headers"] == "Authorization, Content-Type"
    for refused in (await server.direct("publish", {}), await server.client.get("/api/director/publish")):
        assert refused.headers["access-control-allow-origin"] == "*"


async def url_for(server: Server, headers: dict[str, str]) -> str:
    reply = await server.direct("publish", {"streamName": "demo"}, token=server.publish_token, headers=headers)
    url: str = reply.json()["data"]["urls"][0]
    return url.partition("/ws/")[0]


async def test_urls_name_the_host_that_the_client_used(server: Server) -> None:
    assert await url_for(server, {"Host": "live.example.org:8443"}) == "ws://live.example.org:8443"
    assert await url_for(server, {"Host": "[::1]:8080"}) == "ws://[::1]:8080"


async def test_a_proxy_that_nobody_trusts_is_not_believed(server: Server) -> None:
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Host": "live.example.org"}
    assert await url_for(server, forwarded) == "ws://live.example.org"


async def test_a_trusted_proxy_says_how_the_client_came(tmp_path: Path) -> None:
    async with running(tmp_path, configured(http=HttpConfig(trusted_proxies=("127.0.0.1",)))) as server:
        assert await url_for(server, {"X-Forwarded-Host": "a.example, b.example", "X-Forwarded-Proto": "https"}) == (
            "wss://b.example"
        )
        assert await url_for(server, {"Host": "c.example"}) == "ws://c.example"


async def test_a_host_that_is_none_is_refused(server: Server) -> None:
    headers = {"Host": "evil.example/path?x="}
    reply = await server.direct("publish", {"streamName": "demo"}, token=server.publish_token, headers=headers)
    assert reply.status_code == 400
