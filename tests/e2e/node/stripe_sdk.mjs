// npm's stripe, unchanged, with a base URL and a token in the place of the key. Reads {host, port,
// token} as JSON on standard input; prints what came of each step as one JSON object.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(import.meta.dirname, "../../node/package.json"));
const Stripe = require("stripe");

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { host, port, token } = JSON.parse(Buffer.concat(chunks).toString());
const stripe = new Stripe(token, { host, port, protocol: "http", maxNetworkRetries: 2 });

async function refused(promise) {
  try {
    return { unexpected: await promise };
  } catch (error) {
    return { name: error.type, status: error.statusCode, message: error.message };
  }
}

const out = { created: [], listed: [] };
for (let i = 0; i < 5; i++) {
  const charge = await stripe.charges.create({ amount: 8000 + i, currency: "usd", source: "tok_visa" });
  out.created.push(charge.id);
}
for await (const charge of stripe.charges.list({ limit: 2 })) out.listed.push(charge.id);
const refund = await stripe.refunds.create({ charge: out.created[0], amount: 4000 });
out.refund = { amount: refund.amount, charge: refund.charge };
out.over = await refused(stripe.refunds.create({ charge: out.created[1], amount: 8000 }));
out.other = await refused(stripe.customers.create({ email: "a@example.com" }));
out.missing = await refused(stripe.charges.retrieve("ch_none"));
console.log(JSON.stringify(out));
