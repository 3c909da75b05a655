"use strict";
const { createHmac, timingSafeEqual } = require("node:crypto");
const { serve } = require("./serve.js");

const MAX_AGE_S = 5 * 60;

serve((body, headers, secret) => {
  const pairs = headers["x-trcker-signature"].split(",").map((part) => part.split("="));
  const signature = Object.fromEntries(pairs);
  const ours = createHmac("sha256", secret).update(`${signature.t}.${body.toString("utf8")}`).digest("hex");
  if (!timingSafeEqual(Buffer.from(ours), Buffer.from(signature.v1 ?? ""))) return false;
  return Date.now() / 1000 - Number(signature.t) <= MAX_AGE_S;
});
