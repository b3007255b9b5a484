// node subscribe.mjs URL CHANNEL COUNT [TOKEN]: subscribes, prints "subscribed", then each publication's data as a line
// of JSON; ends after COUNT. Every event that is not expected goes to stderr.
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const [url, channel, count, token = ""] = process.argv.slice(2);
const client = new Centrifuge(url, { websocket: WebSocket, token, minReconnectDelay: 100, maxReconnectDelay: 1000 });
client.on("error", (context) => console.error("error", JSON.stringify(context)));
client.on("disconnected", (context) => console.error("disconnected", JSON.stringify(context)));

const subscription = client.newSubscription(channel);
let left = Number(count);
subscription.on("subscribed", () => console.log("subscribed"));
subscription.on("error", (context) => console.error("subscription error", JSON.stringify(context)));
subscription.on("unsubscribed", (context) => console.error("unsubscribed", JSON.stringify(context)));
subscription.on("publication", ({ data }) => {
  console.log(JSON.stringify(data));
  left -= 1;
  if (left === 0) client.disconnect();
});
subscription.subscribe();
client.connect();
