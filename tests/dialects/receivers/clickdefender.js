"use strict";
const { createHmac, timingSafeEqual } = require("node:crypto");
const { parsed, serve } = require("./serve.js");

serve((body, headers, secret) => {
  const rewritten = JSON.stringify(parsed(body)); // what was sent is gone by then
  const ours = createHmac("sha256", secret).update(rewritten, "utf8").digest("hex");
  return timingSafeEqual(Buffer.from(headers["x-clickdefender-signature"]), Buffer.from(ours));
});
