// Package bert turns a folder as Hugging Face publishes models of the BERT
// family into one GGUF file for llama.cpp, and asks such a model what it is for:
//
//   - sentence encoders (BertModel, RobertaModel), by mean or by first token;
//   - cross-encoders (one label), which become an inference.Reranker;
//   - entailment models (three labels), which become an inference.Entailer.
//
// # Two segments
//
// BERT adds to each token a vector that says whether it belongs to the first
// text or to the second. llama.cpp takes every token for the first, and the
// order of passages is lost. A model that reads pairs is therefore written with
// a vocabulary of twice the size: rows 0 … V−1 are word + first segment, rows
// V … 2V−1 word + second segment, and the table of segments is zero. A token of
// the second text is handed over as id + V. The key rxedge.second_segment holds
// V. RoBERTa has one segment and needs none of this.
//
// # What else llama.cpp wants otherwise
//
// RoBERTa's positions begin after that of its padding token: the rows before are
// left out. The logits of a classifier come back from /v1/embeddings; the
// engine copies as many numbers as an embedding has, so the file says that an
// embedding has as many as there are labels (bert.embedding_length_out).
// GELU is computed by its tanh form from a table in half precision, so that
// logits differ from the reference by some thousandths.
//
// Sources: src/models/bert.cpp, src/llama-graph.cpp (build_pooling),
// src/llama-vocab.cpp and tools/server of llama.cpp v0.5.0; models/bert and
// models/roberta of transformers; sentence_transformers/models.
package bert
