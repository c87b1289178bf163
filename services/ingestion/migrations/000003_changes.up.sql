-- A run may be for a change that was heard.
ALTER TABLE runs DROP CONSTRAINT IF EXISTS runs_trigger;
ALTER TABLE runs ADD CONSTRAINT runs_trigger CHECK (trigger IN ('schedule', 'manual', 'change'));
