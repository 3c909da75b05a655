"use strict";
const { createHmac, timingSafeEqual } = require("node:crypto");
const { serve } = require("./serve.js");

serve((body, headers, secret) => {
  const ours = createHmac("sha256", secret).update(body, "utf8").digest("hex");
  const theirs = headers["cue-signature"].replace("sha256=", "");
  return timingSafeEqual(Buffer.from(ours, "hex"), Buffer.from(theirs, "hex"));
});
