// Express, as far as the documents' code uses it: a body of at most 100 KiB that says it is JSON, parsed or raw; an
// exception answered with 500. Writes its port to stdout, then one line of JSON for each request.
"use strict";
const http = require("node:http");

const LIMIT_BYTES = 100 * 1024; // the default of express.json() and express.raw()

function isJson(headers) {
  return (headers["content-type"] ?? "").split(";")[0].trim().toLowerCase() === "application/json";
}

// express.json(): strict, so only objects and arrays.
exports.parsed = (body) => {
  const text = body.toString("utf8");
  if (!/^\s*[[{]/.test(text)) throw new SyntaxError("neither an object nor an array");
  return JSON.parse(text);
};

exports.serve = (verifies) => {
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const body = Buffer.concat(pieces);
      let status, fault;
      if (body.length > LIMIT_BYTES) {
        [status, fault] = [413, "too large"];
      } else if (!isJson(request.headers)) {
        [status, fault] = [415, "not JSON by its Content-Type"];
      } else {
        try {
          status = verifies(body, request.headers, process.env.SECRET) ? 200 : 401;
        } catch (error) {
          [status, fault] = [500, String(error)];
        }
      }
      const line = { status, fault, headers: request.headers, body: body.toString("base64") };
      process.stdout.write(JSON.stringify(line) + "\n");
      response.writeHead(status).end();
    });
  });
  server.listen(0, "127.0.0.1", () => {
    process.stdout.write(JSON.stringify({ port: server.address().port }) + "\n");
  });
};
