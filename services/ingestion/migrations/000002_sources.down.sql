DROP TABLE IF EXISTS sightings, documents, runs, sources;
