// Cedar and casbin on the rules and requests that sallyport is measured on (tests/bench/rules.py).
// Usage: node policies.mjs FILE.json; prints one JSON object.
//
// Each gets what its API has for speed: Cedar's policies are parsed once and kept by the library
// (preparsePolicySet), casbin's enforcer is built once and asked synchronously, and each asks the
// cheapest question first. No result is cached, on either side. Every verdict is checked.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../node/", import.meta.url));
const cedar = require("@cedar-policy/cedar-wasm/nodejs");
const { newEnforcer, newModelFromString } = require("casbin");

const SECONDS = 3;
const input = JSON.parse(readFileSync(process.argv[2], "utf8"));

function median(values) {
    values.sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)];
}

// The median time of one call, over all requests again and again for a while, once warm; and how
// many verdicts were not the expected ones.
function timed(requests, decide) {
    const took = [];
    let wrong = 0;
    const end = performance.now() + 1000 * SECONDS;
    for (let lap = 0; performance.now() < end; lap++) {
        for (const request of requests) {
            const begun = process.hrtime.bigint();
            const allowed = decide(request);
            const ns = Number(process.hrtime.bigint() - begun);
            if (lap > 0 || requests.length > 100) {
                took.push(ns);
            }
            wrong += lap === 0 && allowed !== request.allowed;
            if (performance.now() > end) {
                break;
            }
        }
    }
    return { ns: median(took.slice(Math.floor(took.length / 10))), wrong, n: took.length };
}

// ---- cedar ------------------------------------------------------------------------------------

const user = { type: "User", id: "bot" };
const api = { type: "Api", id: "github" };

function cedarSegments([method, template]) {
    const parts = template.split("/").slice(1);
    const tests = parts.flatMap((part, i) =>
        part.includes("{") ? [] : [`context.s${i} == ${JSON.stringify(part)}`]);
    return `permit(principal, action == Action::"${method}", resource) when {`
        + [` context.n == ${parts.length}`, ...tests].join(" && ") + " };";
}

// As one would write it first; `*` crosses "/", so it allows more than the rules say.
function cedarLike([method, template]) {
    const pattern = template.replace(/[^/]*\{[^/]*/g, "*");
    return `permit(principal, action == Action::"${method}", resource) when {`
        + ` context.path like ${JSON.stringify(pattern)} };`;
}

function cedarPrepare(id, text) {
    const answer = cedar.preparsePolicySet(id, { staticPolicies: text });
    if (answer.type !== "success") {
        throw new Error("cedar: " + JSON.stringify(answer.errors));
    }
}

function cedarAsk(id, method, context) {
    const answer = cedar.statefulIsAuthorized({
        principal: user, action: { type: "Action", id: method }, resource: api, context,
        preparsedPolicySetId: id, entities: [],
    });
    if (answer.type !== "success") {
        throw new Error("cedar: " + JSON.stringify(answer.errors));
    }
    return answer.response.decision === "allow";
}

function cedarContext(path) {
    const parts = path.split("/").slice(1);
    const context = { n: parts.length, path };
    parts.forEach((part, i) => { context["s" + i] = part; });
    return context;
}

function cedarCompileMs(operations) {
    const text = operations.map(cedarSegments).join("\n");
    const took = [];
    for (let i = 0; i < 7; i++) {
        const begun = performance.now();
        cedarPrepare("compiled", text);
        took.push(performance.now() - begun);
    }
    return median(took);
}

const CEDAR_BODY = `permit(principal, action == Action::"POST", resource) when {
    context.path == "/refunds" && context.body.charge like "ch_*" && context.body.amount >= 1
    && context.body.amount <= 5000
    && ["duplicate", "requested_by_customer"].contains(context.body.reason) };`;

// ---- casbin -----------------------------------------------------------------------------------

const MODEL = (request, matcher) => `
[request_definition]
r = ${request}
[policy_definition]
p = method, path
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;
const CASBIN_PATHS = MODEL("method, path", "r.method == p.method && keyMatch2(r.path, p.path)");
const CASBIN_BODY = MODEL("method, path, body",
    "r.method == p.method && r.path == p.path && regexMatch(r.body.charge, '^ch_')"
    + " && r.body.amount >= 1 && r.body.amount <= 5000"
    + " && (r.body.reason == 'duplicate' || r.body.reason == 'requested_by_customer')");

async function casbinNew(model, rules) {
    const enforcer = await newEnforcer(newModelFromString(model));
    await enforcer.addPolicies(rules);
    return enforcer;
}

function casbinRules(operations) {
    return operations.map(([method, template]) =>
        [method, template.replace(/[^/]*\{[^/]*/g, ":any")]);
}

async function casbinCompileMs(operations) {
    const rules = casbinRules(operations);
    const took = [];
    for (let i = 0; i < 7; i++) {
        const begun = performance.now();
        await casbinNew(CASBIN_PATHS, rules);
        took.push(performance.now() - begun);
    }
    return median(took);
}

// ---- all --------------------------------------------------------------------------------------

const requests = input.requests.map(([allowed, method, path]) =>
    ({ allowed, method, path, context: cedarContext(path) }));
cedarPrepare("segments", input.operations.map(cedarSegments).join("\n"));
cedarPrepare("like", input.operations.map(cedarLike).join("\n"));
cedarPrepare("body", CEDAR_BODY);
const paths = await casbinNew(CASBIN_PATHS, casbinRules(input.operations));
const bodies = await casbinNew(CASBIN_BODY, [["POST", "/refunds"]]);
const one = [{ allowed: true }];
const three = (text) => {
    const { charge, amount, reason } = JSON.parse(text);
    return { charge, amount, reason };
};
const read = three(input.body);

console.log(JSON.stringify({
    cedar: {
        decision: timed(requests, (r) => cedarAsk("segments", r.method, r.context)),
        decision_like: timed(requests, (r) => cedarAsk("like", r.method, { path: r.path })),
        body: timed(one, () => cedarAsk("body", "POST", { path: "/refunds", body: read })),
        body_with_parse: timed(one, () =>
            cedarAsk("body", "POST", { path: "/refunds", body: three(input.body) })),
        compile_ms: cedarCompileMs(input.operations.slice(0, 1000)),
    },
    casbin: {
        decision: timed(requests, (r) => paths.enforceSync(r.method, r.path)),
        body: timed(one, () => bodies.enforceSync("POST", "/refunds", read)),
        body_with_parse: timed(one, () =>
            bodies.enforceSync("POST", "/refunds", JSON.parse(input.body))),
        compile_ms: await casbinCompileMs(input.operations.slice(0, 1000)),
    },
}));
