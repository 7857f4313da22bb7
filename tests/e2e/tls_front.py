"""TLS in front of a provider that speaks plain HTTP: every connection is carried on to a port, each byte as soon as it comes."""
import asyncio
import ssl
import threading


class TlsFront:
    """Counts handshakes, and those of resumed sessions; `names` are the server names that clients asked for."""

    def __init__(self, target_port, certificate, key):
        self.target_port, self.names, self.handshakes, self.resumed = target_port, [], 0, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.sni_callback = lambda connection, name, context: self.names.append(name)
        # One loop for all: an SSL object must not be read and written by two threads at once.
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)  # a client that refuses the certificate is what tests want
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context, backlog=64), self.loop).result()
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, client, to_client):
        self.handshakes += 1
        self.resumed += to_client.get_extra_info("ssl_object").session_reused
        try:
            provider, to_provider = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            return to_client.close()
        # An end on either side ends both: TLS has no half-closed connections here, and the providers of the tests need none.
        await asyncio.wait([asyncio.ensure_future(self.carry(client, to_provider)),
                            asyncio.ensure_future(self.carry(provider, to_client))], return_when=asyncio.FIRST_COMPLETED)
        to_client.close()
        to_provider.close()

    @staticmethod
    async def carry(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.server.close()
