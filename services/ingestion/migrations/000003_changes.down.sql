UPDATE runs SET trigger = 'schedule' WHERE trigger = 'change';
ALTER TABLE runs DROP CONSTRAINT IF EXISTS runs_trigger;
ALTER TABLE runs ADD CONSTRAINT runs_trigger CHECK (trigger IN ('schedule', 'manual'));
