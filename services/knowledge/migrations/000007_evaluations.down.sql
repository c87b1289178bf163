DROP TABLE IF EXISTS evaluation_answers;
DROP TABLE IF EXISTS evaluations;
DROP TABLE IF EXISTS judged_questions;
DROP TABLE IF EXISTS judged_sets;
