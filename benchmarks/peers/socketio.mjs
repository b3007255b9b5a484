// npm socket.io with rooms, as its documentation advises for speed and memory: websocket transport only, no compression,
// the native helpers of bufferutil, the handshake's request let go. Its adapter encodes an event once per room.
// node socketio.mjs PORT
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

io.engine.on("connection", (raw) => {
  raw.request = null;
});
io.on("connection", (socket) => {
  socket.on("subscribe", (channel, reply) => {
    socket.join(channel);
    reply();
  });
  socket.on("publish", (channel, data, reply) => {
    io.to(channel).emit("pub", { channel, data });
    reply();
  });
});
http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
