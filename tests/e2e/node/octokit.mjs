// npm's @octokit/rest, unchanged, with baseUrl and a token in the place of the key. Reads {baseUrl,
// token} as JSON on standard input; prints what came of each step as one JSON object.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(import.meta.dirname, "../../node/package.json"));
const { Octokit } = await import(pathToFileURL(require.resolve("@octokit/rest")).href);

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { baseUrl, token } = JSON.parse(Buffer.concat(chunks).toString());
const octokit = new Octokit({ auth: token, baseUrl });
const repo = { owner: "acme", repo: "site" };

const out = { links: [] };
for (let i = 1; i <= 7; i++) await octokit.issues.create({ ...repo, title: `issue ${i}` });
octokit.hook.after("request", (response) => {
  if (response.headers.link) out.links.push(response.headers.link);
});
const issues = await octokit.paginate(octokit.issues.listForRepo, { ...repo, per_page: 3 });
out.titles = issues.map((issue) => issue.title).sort();
try {
  await octokit.repos.delete(repo);
  out.refusal = "none";
} catch (error) {
  out.refusal = { status: error.status, message: error.message };
}
console.log(JSON.stringify(out));
