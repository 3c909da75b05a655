"use strict";
const { createHmac, timingSafeEqual } = require("node:crypto");
const { serve } = require("./serve.js");

serve((body, headers, secret) => {
  const ours = createHmac("sha256", secret).update(body).digest("hex");
  return timingSafeEqual(Buffer.from(ours), Buffer.from(headers["x-webhook-signature"]));
});
