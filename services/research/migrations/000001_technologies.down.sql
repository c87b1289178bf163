DROP TABLE IF EXISTS moves, technologies;
