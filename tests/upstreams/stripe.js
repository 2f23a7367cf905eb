// A loopback Stripe with state: the npm package stripe-stateful-mock, bound to 127.0.0.1 alone
// (its own command listens on every address). It answers only keys that begin with sk_test_.
// Usage: node stripe.js [PORT]   (0: any free one). Prints "listening PORT" when it answers.
"use strict";
const http = require("http");
const path = require("path");
const modules = path.join(__dirname, "..", "node", "node_modules");
const { createExpressApp } = require(path.join(modules, "stripe-stateful-mock"));
require(path.join(modules, "loglevel")).setLevel("silent");

const server = http.createServer(createExpressApp());
server.listen(Number(process.argv[2] || 0), "127.0.0.1", () => {
  console.log(`listening ${server.address().port}`);
});
