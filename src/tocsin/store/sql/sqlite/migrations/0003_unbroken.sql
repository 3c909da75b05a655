-- Since when nothing has succeeded at a webhook, also where it was enabled anew meanwhile (which begins `failing_since`
-- anew).
ALTER TABLE lane ADD COLUMN unbroken_since INTEGER;
UPDATE lane SET unbroken_since = failing_since;
