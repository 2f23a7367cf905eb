// Tokenises scope files with the TextMate engine that editors use (vscode-textmate, oniguruma) and
// compares with the manual's tokens. Arguments: the grammar, then files; prints what is wrong as a JSON
// array, each {file, line, text, scopes, wanted}, and how many tokens of each kind were compared.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const require = createRequire(path.join(import.meta.dirname, "../../node/package.json"));
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const [grammarFile, ...files] = process.argv.slice(2);
const KEYWORDS = new Set(("sallyport let use scope client principal key ttl rate budget mode allow deny "
  + "where expect until narrows and or not in starts has only any all true false form json header may "
  + "issue for live burst per body query path given curve").split(" "));
const METHODS = new Set("GET HEAD POST PUT PATCH DELETE OPTIONS".split(" "));
// The manual's lexical rules, written a second time: comment, URL, string, label, number, word, mark.
const TOKEN = new RegExp([/(?<comment>(?<!\S)#.*$)/, /(?<url>https?:\/\/\S*)/, /(?<string>"(?:[^"\\]|\\.)*")/,
  /(?<label>@[\w-]+)/, /(?<number>-?\d[\dA-Za-z_]*)/, /(?<word>[A-Za-z_][\w-]*)/,
  /(?<mark>!=|<=|>=|\.\.|->|[{}()[\],:;.\/*=<>])/].map((part) => part.source).join("|"), "gmu");
const WANTED = {
  comment: /^comment\./, url: /^string\.unquoted\.url|^variable\.parameter|^keyword\.operator\.wildcard|^constant\.character/,
  string: /^string\.quoted|^constant\.character/, label: /^entity\.name\.tag/, number: /^constant\.numeric/,
  keyword: /^(keyword|support\.variable|constant\.language)/, method: /^support\.constant\.method/,
  name: /^(variable\.other|entity\.name|support\.constant\.method|constant\.(numeric|language)|keyword\.other)/,
  mark: /^(keyword\.operator|punctuation)/,
};

// A word's kind: keywords are names behind a dot, before a colon, and in the braces of only; what
// stands behind `expect allow` is a method, whatever word it is.
function kindOfWord(word, [first, before], after, inNames) {
  if (before === "." || after === ":" || inNames) return "name";
  if (METHODS.has(word) || (first === "expect" && word !== "given")) return "method";
  return KEYWORDS.has(word) ? "keyword" : "name";
}

const wasm = fs.readFileSync(path.join(path.dirname(require.resolve("vscode-oniguruma")), "onig.wasm"));
await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (sources) => new oniguruma.OnigScanner(sources),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(grammarFile, "utf8"), grammarFile),
});
const grammar = await registry.loadGrammar("source.sallyport");
const faults = [];
const counts = {};
for (const file of files) {
  let stack = textmate.INITIAL;
  let before = ["", ""];
  let names = false;
  fs.readFileSync(file, "utf8").split("\n").forEach((line, number) => {
    const result = grammar.tokenizeLine(line, stack);
    stack = result.ruleStack;
    const found = [...line.matchAll(TOKEN)];
    const commented = new Set();
    found.forEach((match, i) => {
      let kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
      const text = match[0];
      if (kind === "comment") for (let at = 0; at < text.length; at++) commented.add(match.index + at);
      if (kind === "word") kind = kindOfWord(text, before, found[i + 1]?.[0], names);
      names = text === "{" ? before[1] === "only" : text === "}" ? false : names;
      if (kind !== "comment") before = [before[1], text];
      counts[kind] = (counts[kind] ?? 0) + 1;
      for (let at = match.index; at < match.index + text.length; at++) {
        const token = result.tokens.find((one) => one.startIndex <= at && at < one.endIndex);
        const scope = token.scopes.length > 1 ? token.scopes[token.scopes.length - 1] : "";
        const good = kind === "comment" ? token.scopes.some((one) => WANTED.comment.test(one))
                                        : WANTED[kind].test(scope);
        if (!good) {
          faults.push({ file, line: number + 1, text, scopes: token.scopes, wanted: kind });
          break;
        }
      }
    });
    for (const token of result.tokens) {  // a comment where the language has none
      if (token.scopes.some((one) => WANTED.comment.test(one)) && !commented.has(token.startIndex)
          && token.startIndex < line.length) {
        faults.push({ file, line: number + 1, text: line.slice(token.startIndex), scopes: token.scopes,
                      wanted: "no comment" });
      }
    }
  });
}
console.log(JSON.stringify({ faults, counts }));
