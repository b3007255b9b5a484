// npm ws, as its documentation advises for speed: no compression, the native helpers of bufferutil, a message made once.
// node ws.mjs PORT
import { WebSocketServer } from "ws";

const channels = new Map();
const server = new WebSocketServer({ port: Number(process.argv[2]), host: "127.0.0.1", perMessageDeflate: false, backlog: 4096 });

server.on("connection", (socket) => {
  const mine = [];
  socket.on("error", () => {});
  socket.on("close", () => mine.forEach((channel) => channel.delete(socket)));
  socket.on("message", (message) => {
    const command = JSON.parse(message);
    if (command.connect) {
      socket.send(`{"id":${command.id},"connect":{"client":"00000000-0000-0000-0000-000000000000","version":"1","ping":25,"pong":true}}`);
    } else if (command.subscribe) {
      const name = command.subscribe.channel;
      let channel = channels.get(name);
      if (!channel) channels.set(name, (channel = new Set()));
      channel.add(socket);
      mine.push(channel);
      socket.send(`{"id":${command.id},"subscribe":{}}`);
    } else if (command.publish) {
      const { channel, data } = command.publish;
      const push = Buffer.from(JSON.stringify({ push: { channel, pub: { data } } }));
      for (const subscriber of channels.get(channel) ?? []) subscriber.send(push, { binary: false });
      socket.send(`{"id":${command.id},"publish":{}}`);
    }
  });
});
