// Package lexical ranks passages by words: BM25 over two fields, title and
// body, with the statistics of one project.
//
// The index grows in memory, is exact at every moment (a removed passage
// counts nowhere), and answers the best k with MaxScore: postings that cannot
// change the answer are not read. It is not safe for writes beside other
// calls; whoever owns it locks.
package lexical
