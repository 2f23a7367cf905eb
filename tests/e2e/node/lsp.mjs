// An editor's side of `sallyport policy lsp`, as npm's vscode-languageserver-protocol has it.
// Arguments: the sallyport command, a folder to work in, a scenario. Exit status 0: it went well.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(import.meta.dirname, "../../node/package.json"));
const lsp = require("vscode-languageserver-protocol/node");
const [command, folder, scenario] = process.argv.slice(2);

const SHARED = `sallyport 1
let reasons = {"duplicate", "fraud"}
let place = https://h.test/refunds
scope wide {
    key k
    ttl 1h
    allow * https://h.test/**
}
`;
const MAIN = `sallyport 1
use "shared.scope"
# é𝒳 comes before: two and one code units
scope bot(owner) narrows wide {
    key k
    ttl 1h
    @refund allow POST place where body.reason in reasons and body.note = "𝒳" and body.o = owner
    @read allow GET https://h.test/{owner}/*
    expect allow given (owner = "a") GET https://h.test/a/b -> @read
}
`;

const servers = [];

class Editor {
  constructor() {
    this.server = spawn(command, ["policy", "lsp", "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
    servers.push(this.server);
    this.ended = new Promise((resolve) => this.server.once("exit", (code) => resolve(code)));
    this.connection = lsp.createProtocolConnection(new lsp.StreamMessageReader(this.server.stdout),
                                                   new lsp.StreamMessageWriter(this.server.stdin));
    this.said = new Map();
    this.connection.onNotification(lsp.PublishDiagnosticsNotification.type, (params) => {
      this.said.set(params.uri, params);
    });
    this.connection.listen();
  }
  async begin() {
    const result = await this.ask(lsp.InitializeRequest.type,
                                  { processId: process.pid, rootUri: null, capabilities: {} });
    await this.connection.sendNotification(lsp.InitializedNotification.type, {});
    return result;
  }
  ask(type, params) { return this.connection.sendRequest(type, params); }
  async open(name, text, version = 1) {
    const uri = uriOf(name);
    this.text ??= new Map();
    this.text.set(uri, text);
    await this.connection.sendNotification(lsp.DidOpenTextDocumentNotification.type,
      { textDocument: { uri, languageId: "sallyport", version, text } });
    await this.settle();
    return uri;
  }
  async change(uri, text, version) {
    this.text.set(uri, text);
    await this.connection.sendNotification(lsp.DidChangeTextDocumentNotification.type,
      { textDocument: { uri, version }, contentChanges: [{ text }] });
    await this.settle();
  }
  // Answers come in order: once this one is there, what was said before is, too.
  async settle() { await assert.rejects(this.ask("sallyport/none", {}), { code: -32601 }); }
  diagnostics(uri) { return this.said.get(uri).diagnostics; }
  // Where a text stands for the nth time, some characters into it.
  at(uri, text, nth = 0, into = 1) {
    let offset = -1;
    for (let i = 0; i <= nth; i++) offset = this.text.get(uri).indexOf(text, offset + 1);
    assert.notEqual(offset, -1, text);
    return { textDocument: { uri }, position: positionOf(this.text.get(uri), offset + into) };
  }
  async end() {
    await this.ask(lsp.ShutdownRequest.type);
    await this.connection.sendNotification(lsp.ExitNotification.type);
    assert.equal(await this.ended, 0);
    this.connection.dispose();
  }
}

function uriOf(name) { return pathToFileURL(path.join(folder, name)).href; }
function positionOf(text, offset) {  // JavaScript's strings are UTF-16, as LSP's positions are
  const before = text.slice(0, offset).split("\n");
  return { line: before.length - 1, character: before.at(-1).length };
}
function textAt(text, range) {
  const lines = text.split("\n");
  return lines[range.start.line].slice(range.start.character, range.end.character);
}
function offsetOf(text, position) {
  return text.split("\n").slice(0, position.line).reduce((sum, line) => sum + line.length + 1, 0)
    + position.character;
}
function edited(text, edits) {
  const order = [...edits].sort((a, b) => offsetOf(text, b.range.start) - offsetOf(text, a.range.start));
  return order.reduce((now, edit) => now.slice(0, offsetOf(text, edit.range.start)) + edit.newText
    + now.slice(offsetOf(text, edit.range.end)), text);
}
async function withMain() {
  fs.writeFileSync(path.join(folder, "shared.scope"), SHARED);
  const editor = new Editor();
  await editor.begin();
  const uri = await editor.open("main.scope", MAIN);
  return { editor, uri };
}
function labels(items) { return items.map((item) => item.label); }

const scenarios = {
  async diagnostics() {
    const editor = new Editor();
    const { capabilities } = await editor.begin();
    assert.equal(capabilities.positionEncoding, "utf-16");
    const text = "sallyport 1\nscope s {\n  key k\n  ttl 1h\n  allow GET https://h.test/ where "
      + 'body.a = "é𝒳" and body.b = 007\n}\n';
    const uri = await editor.open("a b#é.scope", text, 7);
    assert.equal(editor.said.get(uri).version, 7);
    const [found] = editor.diagnostics(uri);
    assert.equal(found.code, "E004");
    assert.equal(found.severity, lsp.DiagnosticSeverity.Error);
    assert.equal(found.source, "sallyport");
    assert.match(found.message, /integer.*\nfix: /s);
    assert.equal(textAt(text, found.range), "007");
    await editor.change(uri, text.replace("007", "7").replace(/\n/g, "\r\n"), 8);
    assert.deepEqual(editor.diagnostics(uri), []);
    await editor.change(uri, text.replace("  ttl 1h\n", "").replace("007", "7"), 9);
    assert.deepEqual(editor.diagnostics(uri).map((d) => [d.code, d.severity]), [["W140", 2]]);
    await editor.connection.sendNotification(lsp.DidCloseTextDocumentNotification.type,
                                             { textDocument: { uri } });
    await editor.settle();
    assert.deepEqual(editor.diagnostics(uri), []);
    await editor.end();
  },

  async used_files_are_read_as_they_stand_in_the_editor() {
    const { editor, uri } = await withMain();
    assert.deepEqual(editor.diagnostics(uri).map((d) => d.code), ["E172"]);  // it has parameters
    const plain = MAIN.replace(" narrows wide", "");
    await editor.change(uri, plain, 2);
    assert.deepEqual(editor.diagnostics(uri), []);
    const shared = await editor.open("shared.scope", SHARED.replace("let reasons", "let others"));
    assert.deepEqual(editor.diagnostics(uri).map((d) => d.code), ["E103", "W146"]);
    await editor.change(shared, SHARED, 2);
    assert.deepEqual(editor.diagnostics(uri), []);
    await editor.end();
  },

  async definition_and_references() {
    const { editor, uri } = await withMain();
    const go = async (text, nth, into) => {
      const found = await editor.ask(lsp.DefinitionRequest.type, editor.at(uri, text, nth, into));
      return found && [path.basename(found.uri), textAt(found.uri === uri ? MAIN : SHARED, found.range),
                       found.range.start.line];
    };
    assert.deepEqual(await go("reasons", 0), ["shared.scope", "reasons", 1]);
    assert.deepEqual(await go("place", 0), ["shared.scope", "place", 2]);
    assert.deepEqual(await go("wide", 0), ["shared.scope", "wide", 3]);
    assert.deepEqual(await go("owner\n", 0), ["main.scope", "owner", 3]);
    assert.deepEqual(await go("{owner}", 0, 3), ["main.scope", "owner", 3]);
    assert.deepEqual(await go("@read", 1, 2), ["main.scope", "read", 7]);
    assert.deepEqual(await go("shared.scope", 0), ["shared.scope", "", 0]);
    assert.equal(await go("key k", 0), null);
    const all = await editor.ask(lsp.ReferencesRequest.type,
      { ...editor.at(uri, "(owner", 0, 2), context: { includeDeclaration: true } });
    assert.equal(all.length, 4);
    assert.ok(all.every((one) => textAt(MAIN, one.range) === "owner"));
    const used = await editor.ask(lsp.ReferencesRequest.type,
      { ...editor.at(uri, "(owner", 0, 2), context: { includeDeclaration: false } });
    assert.equal(used.length, 3);
    // From the used file back to the open document that uses it.
    const shared = await editor.open("shared.scope", SHARED);
    const back = await editor.ask(lsp.ReferencesRequest.type,
      { ...editor.at(shared, "reasons"), context: { includeDeclaration: true } });
    assert.deepEqual(back.map((one) => path.basename(one.uri)).sort(), ["main.scope", "shared.scope"]);
    await editor.end();
  },

  async rename_across_files_leaves_a_policy_that_compiles() {
    const { editor, uri } = await withMain();
    const main = MAIN.replace(" narrows wide", "");
    await editor.change(uri, main, 2);
    const where = editor.at(uri, "reasons");
    assert.equal(textAt(main, await editor.ask(lsp.PrepareRenameRequest.type, where)), "reasons");
    const { changes } = await editor.ask(lsp.RenameRequest.type, { ...where, newName: "why" });
    assert.equal(Object.keys(changes).length, 2);
    const shared = uriOf("shared.scope");
    await editor.open("shared.scope", edited(SHARED, changes[shared]));
    await editor.change(uri, edited(main, changes[uri]), 3);
    assert.deepEqual(editor.diagnostics(uri), []);
    assert.match(editor.text.get(shared), /let why = /);
    const label = await editor.ask(lsp.RenameRequest.type,
                                   { ...editor.at(uri, "@read", 0, 2), newName: "get" });
    const after = edited(editor.text.get(uri), label.changes[uri]);
    assert.equal(after.split("@get").length, 3);
    await editor.change(uri, after, 4);
    assert.deepEqual(editor.diagnostics(uri), []);
    for (const newName of ["place", "allow", "two words", ""]) {
      await assert.rejects(editor.ask(lsp.RenameRequest.type, { ...editor.at(uri, "why"), newName }));
    }
    assert.equal(await editor.ask(lsp.PrepareRenameRequest.type, editor.at(uri, "ttl")), null);
    await editor.end();
  },

  async hover_says_what_words_mean_and_names_stand_for() {
    const { editor, uri } = await withMain();
    const hover = async (...where) => {
      const found = await editor.ask(lsp.HoverRequest.type, editor.at(uri, ...where));
      return found && found.contents.value;
    };
    assert.match(await hover("narrows"), /proved/);
    assert.match(await hover("ttl"), /token lives/);
    assert.match(await hover("reasons"), /"duplicate", "fraud"/);
    assert.match(await hover("place"), /https:\/\/h\.test\/refunds/);
    assert.match(await hover("wide"), /scope wide \{[^]*allow \* https:\/\/h\.test\/\*\*\n\}/);
    assert.match(await hover("@read", 1, 2), /allow GET https:\/\/h\.test\/\{owner\}/);
    assert.equal(await hover("# é", 0, 3), null);
    await editor.end();
  },

  async completion_fits_the_place() {
    const { editor, uri } = await withMain();
    const at = async (text, into, source = MAIN) => {
      await editor.change(uri, source, 5);
      return labels(await editor.ask(lsp.CompletionRequest.type, editor.at(uri, text, 0, into)));
    };
    assert.ok((await at("place", 0)).includes("place") && (await at("place", 2)).includes("place"));
    assert.deepEqual(await at("reasons", 0), ["reasons", "place"]);
    assert.ok((await at("POST", 0)).includes("DELETE"));
    assert.ok((await at("key k", 0)).includes("expect"));
    assert.deepEqual((await at("wide", 0)).sort(), ["bot", "wide"]);
    assert.ok((await at("owner\n", 0)).includes("owner"));
    assert.deepEqual(await at("-> @read", 3), ["@refund", "@read"]);
    assert.deepEqual(await at("-> @read", 4), ["refund", "read"]);
    assert.ok((await at("scope bot", 0)).includes("principal"));
    assert.deepEqual(await at("x", 1, "x"), ["sallyport"]);
    assert.ok((await at("where ", 6, "sallyport 1\nscope s {\n allow GET https://h.test/ where "))
      .includes("query"));
    await editor.end();
  },

  async quick_fixes_mend_what_they_name() {
    const editor = new Editor();
    await editor.begin();
    const uri = await editor.open("x.scope", "");
    let version = 1;
    const fix = async (text, wanted) => {
      await editor.change(uri, text, ++version);
      const [found] = editor.diagnostics(uri);
      const actions = await editor.ask(lsp.CodeActionRequest.type,
        { textDocument: { uri }, range: found.range, context: { diagnostics: [found] } });
      assert.ok(actions.length >= 1, JSON.stringify(found));
      assert.equal(actions[0].kind, "quickfix");
      assert.equal(edited(text, actions[0].edit.changes[uri]), wanted);
    };
    const body = "sallyport 1\nlet reasons = {1}\nscope s {\n    key k\n    ttl 1h\n"
      + "    allow GET https://h.test/ where body.a in reasons\n}\n";
    await fix(body.replace("allow", "alow"), body);
    await fix(body.replace("in reasons", "in reason"), body);
    await fix(body.replace("body.a", "bodi.a"), body);
    await fix(body.replace("sallyport 1\n", ""), body);
    await fix(body.replace("let r", "let x = {2}\nlet r"), body.replace("let r", "\nlet r"));
    await editor.change(uri, body.replace("GET", "get it"), ++version);
    const none = await editor.ask(lsp.CodeActionRequest.type, { textDocument: { uri },
      range: editor.diagnostics(uri)[0].range, context: { diagnostics: [] } });
    assert.deepEqual(none, []);
    await editor.end();
  },

  async formatting_is_that_of_fmt() {
    const { editor, uri } = await withMain();
    const ask = () => editor.ask(lsp.DocumentFormattingRequest.type,
                                 { textDocument: { uri }, options: { tabSize: 8, insertSpaces: false } });
    const messy = MAIN.replace(/    /g, "\t").replace("allow GET", "allow   GET");
    await editor.change(uri, messy, 2);
    const edits = await ask();
    assert.equal(edits.length, 1);
    await editor.change(uri, edited(messy, edits), 3);
    assert.match(editor.text.get(uri), /\n {4}@read allow GET https/);
    assert.deepEqual(await ask(), []);
    await editor.change(uri, "sallyport 1\nscope s {", 4);
    await assert.rejects(ask(), /does not parse/);
    await editor.end();
  },

  async order_and_limits_are_kept() {
    const editor = new Editor();
    await assert.rejects(editor.ask(lsp.HoverRequest.type, { textDocument: { uri: "file:///x" },
      position: { line: 0, character: 0 } }), { code: -32002 });
    await editor.begin();
    await assert.rejects(editor.ask(lsp.HoverRequest.type, { textDocument: { uri: "file:///x" },
      position: { line: 0, character: 0 } }), { code: -32602 });
    for (let i = 0; i < 260; i++) {
      await editor.connection.sendNotification(lsp.DidOpenTextDocumentNotification.type,
        { textDocument: { uri: `file:///none/${i}.scope`, languageId: "sallyport", version: 1,
                          text: "" } });
    }
    await editor.settle();
    assert.equal(editor.said.size, 256);
    const far = await editor.ask(lsp.CompletionRequest.type, { textDocument: { uri: "file:///none/1.scope" },
      position: { line: 99999, character: 99999 } });
    assert.deepEqual(labels(far), ["sallyport"]);
    await editor.ask(lsp.ShutdownRequest.type);
    await assert.rejects(editor.ask(lsp.HoverRequest.type, {}), { code: -32600 });
    await editor.connection.sendNotification(lsp.ExitNotification.type);
    assert.equal(await editor.ended, 0);
    editor.connection.dispose();
  },
};

setTimeout(() => {
  console.error("the server does not answer");
  servers.forEach((server) => server.kill("SIGKILL"));
  process.exit(3);
}, 50000);
await scenarios[scenario]();
process.exit(0);
