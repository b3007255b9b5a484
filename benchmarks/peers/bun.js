// bun, with its own publish/subscribe, which sends a topic's message from native code.
// bun bun.js PORT
Bun.serve({
  port: Number(process.argv[2]),
  hostname: "127.0.0.1",
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("", { status: 404 });
  },
  websocket: {
    perMessageDeflate: false,
    message(socket, message) {
      const command = JSON.parse(message);
      if (command.connect) {
        socket.send(`{"id":${command.id},"connect":{"client":"00000000-0000-0000-0000-000000000000","version":"1","ping":25,"pong":true}}`);
      } else if (command.subscribe) {
        socket.subscribe(command.subscribe.channel);
        socket.send(`{"id":${command.id},"subscribe":{}}`);
      } else if (command.publish) {
        const { channel, data } = command.publish;
        socket.publish(channel, JSON.stringify({ push: { channel, pub: { data } } }));
        socket.send(`{"id":${command.id},"publish":{}}`);
      }
    },
  },
});
