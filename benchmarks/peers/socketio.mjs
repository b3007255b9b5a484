// npm socket.io with rooms, websocket transport only, no compression; the event is encoded once per room by its adapter.
// node socketio.mjs PORT
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

io.on("connection", (socket) => {
  socket.on("subscribe", (channel, reply) => {
    socket.join(channel);
    reply();
  });
  socket.on("publish", (channel, data) => {
    io.to(channel).emit("pub", { channel, data });
  });
});
http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
