"""gRPC's own figures, where they are asked for."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc

from ganserve.client import Client

from ..servers import StartServer


def test_calls_and_connections_are_told(models: Path, start_server: StartServer) -> None:
    with start_server(models, "--channelz") as server, grpc.insecure_channel(server.address) as channel:
        with Client(server.address, model="digits") as client:
            client.generate(1, seed=1)
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        (told,) = stub.GetServers(channelz_pb2.GetServersRequest()).server
        assert told.data.calls_succeeded > 0
        sockets = stub.GetServerSockets(channelz_pb2.GetServerSocketsRequest(server_id=told.ref.server_id))
        assert sockets.socket_ref


def test_nothing_is_told_unless_it_is_asked_for(models: Path, start_server: StartServer) -> None:
    with start_server(models) as server, grpc.insecure_channel(server.address) as channel:
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            stub.GetServers(channelz_pb2.GetServersRequest())
