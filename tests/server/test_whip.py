"""WHIP by its standard, sentence by sentence (RFC 9725), and by what Millicast's clients expect beyond it."""

from tests.server.harness import Server
from tests.server.whip_client import SDP, whip


async def test_an_offer_makes_a_session_and_a_delete_ends_it(server: Server) -> None:
    """§4.2: 201, application/sdp, Location; DELETE ends it."""
    reply = await whip(server)
    assert (reply.status_code, reply.headers["content-type"]) == (201, SDP)
    (transport,) = server.engine.transports()
    await server.start(transport)
    gone = await server.client.delete(reply.headers["location"])
    assert (gone.status_code, server.engine.transports()) == (200, set())
    assert (await server.client.delete(reply.headers["location"])).status_code == 404
