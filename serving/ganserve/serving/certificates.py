"""The server's side of TLS: its certificate, and the CAs of its clients', read again when their files change."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from ganserve.contract.certificates import FileStamp, NamedFile, read_authorities, read_key_pair
from ganserve.contract.errors import ConfigError

_log = logging.getLogger(__name__)


class _Current(NamedTuple):
    """What the files held when they were read last, for gRPC and for Python."""

    configuration: grpc.ServerCertificateConfiguration
    context: ssl.SSLContext


class Certificates:
    """What one port of a server shows its clients, and what it wants to be shown.

    New connections get what the files hold then; those that are open go on. Files that cannot be used leave what was
    read before in its place, so that a renewal that is halfway through, or has gone wrong, stops nobody.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        """Reads all files.

        Args:
            cert: the server's certificate with its chain, PEM.
            key: its private key.
            client_ca: the CAs of which one has signed each client's certificate; None where clients need not have one.

        Raises:
            ConfigError: a file cannot be used.
        """
        self._cert = NamedFile("--tls-cert", cert)
        self._key = NamedFile("--tls-key", key)
        self._client_ca = None if client_ca is None else NamedFile("--client-ca", client_ca)
        self._paths = [file.path for file in (self._cert, self._key, self._client_ca) if file is not None]
        self._lock = threading.Lock()
        self._stamp = FileStamp.of(self._paths)
        self._current = self._read()

    def context(self) -> ssl.SSLContext:
        """What a port for HTTP listens with."""
        context = self._current.context
        context.sni_callback = self._renew
        return context

    def credentials(self) -> grpc.ServerCredentials:
        """What a port for gRPC listens with."""
        renewed: Any = self._renewed  # which may give None, other than its stub says
        return grpc.dynamic_ssl_server_credentials(
            self._current.configuration, renewed, require_client_authentication=self._client_ca is not None
        )

    def _renew(self, connection: ssl.SSLSocket | ssl.SSLObject, *_: object) -> None:
        """Has a new connection made with what the files hold now; Python asks, in the midst of its handshake."""
        self._renewed()
        connection.context = self._current.context

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What a new connection is made with, None for the same as the last; gRPC asks, in threads of its own."""
        with self._lock:
            stamp = FileStamp.of(self._paths)
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                self._current = self._read()
            except ConfigError as error:
                _log.error("the former certificate stays in use: %s", error)
                return None
            _log.info("the certificate in %s is in use from now on", self._cert.path)
            return self._current.configuration

    def _read(self) -> _Current:
        pair = read_key_pair(self._cert, self._key)
        authorities = None if self._client_ca is None else read_authorities(self._client_ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._cert.path, self._key.path)
        if authorities is not None:
            context.load_verify_locations(cadata=authorities.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        configuration = grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], authorities)
        return _Current(configuration, context)
