// Package knowledge is the knowledge service: documents in, answers out.
//
//	owns    documents, chunks, embeddings, the blobs of uploads; how a project is
//	        searched; judged questions and evaluations
//	hears   auth.project.deleting, ingestion.fact.accepted,
//	        research.technology.removed
//	says    knowledge.document.received, .indexed, .failed, .deleted; project.purged
//	serves  queryKnowledgeBase, answerQuestion, addDocument, addTextDocument, getDocument,
//	        listDocuments, deleteDocument, getKnowledgeStatistics,
//	        listCollections, listCategories, getKnowledgeSettings,
//	        setKnowledgeSettings, listKnowledgeTemplates,
//	        applyKnowledgeTemplate, those of judgements and
//	        evaluations; to auth: countDocuments,
//	        restorePart; to the gateway: exportPage; replay:
//	        documents
//
// The main story: serve/documents.go takes the command; document/intake.go
// reads the object, detects the format, extracts and cuts while the caller
// waits; postgres/receive.go commits document, chunks, job and
// document.received together with the command's answer: from then on the text
// is found by words. The job (document/indexing.go) embeds in batches, each
// saved, and ends with document.indexed. A question (search/search.go) is
// ranked by an index in memory (index), which is brought up to the generation
// that PostgreSQL is at, and answered from what is committed; where it is asked
// for, in the order of a model that reads question and passage (reranker). Or it
// is answered in words of a language model, whose citations are checked (answer).
package knowledge
