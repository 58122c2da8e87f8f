// Package guard gives the probability that an answer is wrong, or should have been
// none, from how it was found: a small ensemble of logistic regressions and boosted
// trees, stacked and calibrated by another logistic regression. It says why, by
// exact Shapley values and by a linear fit around the answer.
//
// DESIGN.md says how it is made, MODEL_CARD.md what it reaches.
package guard

import (
	"fmt"
	"math"
)

// Features of an answer, by place.
const (
	Coverage  = iota // share of the question's weight that the best passage holds
	Sentence         // score of the best sentence, 0 to 1
	Margin           // how far the best passage is before the first of another section, 0 to 1
	Agreement        // how alike words and vectors rank the passage cited first, 0 to 1
	Rank             // 1 / rank of the passage cited first
	Named            // 1: what is cited is about the medicine asked about; 0.5: none was named; 0: it is about another
	Section          // 1: of a section asked for; 0.5: none was asked for; 0: of another
	Unknown          // words and things of the question that are in no document, or in none about the medicine
	Said             // share of the question's weight that the claims themselves hold
	Claims           // number of claims
	Support          // lowest score of a judge for a claim; 1 for verbatim sentences
	Answers          // the judge's probability that the claims answer the question
	Length           // words of the claims, in twenties, as a logarithm
	LogProb          // mean log-probability of the tokens that a model wrote; 0 where none wrote: what stands in a label is certain
	LeastProb        // the least of them
	Age              // of the oldest label cited, in years; 0 where it has no date
	Rival            // score of the best sentence of a section not cited, as a share of the best that is; at most 2
	Stated           // 1: a sentence states a number of the kind asked for; 0.5: none was asked for; 0: none does
	Size             // of a Vector
)

// Vector of the features of one answer.
type Vector [Size]float64

// Names of the features, as they are in JSON.
var Names = [Size]string{"coverage", "sentence", "margin", "agreement", "rank", "named", "section", "unknown", "said", "claims", "support", "answers", "length", "log_probability", "least_log_probability", "label_age", "rival", "stated"}

// valid says whether every feature is a number.
func (v *Vector) valid() bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// says what a feature says of an answer, in words for a pharmacist.
func says(feature int, v float64) string {
	percent := func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }
	level := func(v, low, high float64, words [3]string) string {
		switch {
		case v < low:
			return words[0]
		case v < high:
			return words[1]
		}
		return words[2]
	}
	switch feature {
	case Coverage:
		return "the best passage has " + percent(v) + " of what was asked"
	case Sentence:
		return level(v, 0.4, 0.8, [3]string{"the best sentence shares little with the question", "the best sentence shares some words with the question", "the best sentence says most of what was asked"})
	case Margin:
		return level(v, 0.05, 0.3, [3]string{"another section fits the question as well as the one that was found", "the section that was found fits a little better than the next", "the section that was found fits far better than the next"})
	case Agreement:
		return level(v, 0.2, 0.6, [3]string{"search by words and search by meaning disagree on the passage", "search by words and search by meaning agree in part on the passage", "search by words and search by meaning agree on the passage"})
	case Rank:
		return level(v, 0.3, 0.9, [3]string{"the sentence comes from a passage far down the list", "the sentence comes from one of the first passages", "the sentence comes from the first passage"})
	case Named:
		return level(v, 0.25, 0.75, [3]string{"the question names a medicine that the passage is not about", "the question names no medicine that the documents know", "the passage is about the medicine that the question names"})
	case Section:
		return level(v, 0.25, 0.75, [3]string{"the question asks for another section of the label than the one cited", "the question asks for no section in particular", "the sentence is of the section that the question asks for"})
	case Unknown:
		if v < 0.5 {
			return "every word of the question is known to the documents"
		}
		if v < 1.5 {
			return "one word of the question is in none of the documents that count"
		}
		return fmt.Sprintf("%.0f words of the question are in none of the documents that count", v)
	case Said:
		return "the sentences shown have " + percent(v) + " of the question's words"
	case Claims:
		return level(v, 1.5, 3.5, [3]string{"one sentence was found", "a few sentences were found", "many sentences were found"})
	case Support:
		return level(v, 0.5, 0.95, [3]string{"a sentence could not be checked", "a sentence is borne out in part", "every sentence is borne out by what it cites"})
	case Answers:
		return "the judge of questions and passages gives the sentences " + percent(v)
	case Length:
		return level(v, 1.0, 1.7, [3]string{"the answer is short", "the answer is of middle length", "the answer is long"})
	case LogProb:
		if v == 0 {
			return "no language model wrote any of it"
		}
		return fmt.Sprintf("the language model gave its words a probability of %.0f %% each, on average", 100*math.Exp(v))
	case LeastProb:
		if v == 0 {
			return "no language model chose a word of it"
		}
		return level(v, -4, -1.5, [3]string{"the language model chose a word that it held unlikely", "the language model chose a word that it was not sure of", "the language model was sure of every word"})
	case Rival:
		return level(v, 0.5, 0.9, [3]string{"no other section has a sentence that fits nearly as well", "a sentence of another section fits less well", "a sentence of another section fits as well"})
	case Stated:
		return level(v, 0.25, 0.75, [3]string{"a number was asked for, and no sentence states one of that kind", "no number was asked for", "a sentence states a number of the kind asked for"})
	case Age:
		if v == 0 {
			return "the label has no date"
		}
		return fmt.Sprintf("the oldest label is %.0f years old", v)
	}
	return ""
}
