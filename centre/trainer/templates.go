package trainer

// templates of questions by what they ask about, as people put them at a counter, and as
// they type them in a hurry. Written for this program. The kinds are those of
// index/names; the last of each kind is held out, so that a model is measured by a
// wording that it was not trained on.
var templates = map[string][]string{
	"dose":             {"What is the usual dose of {medicine}?", "What is the maximum daily dose of {medicine}?", "How much {medicine} should one start with?", "{medicine} how many mg a day", "new on {medicine}, what strength and how often"},
	"renal":            {"How is the dose of {medicine} changed in renal impairment?", "Can {medicine} be given with a creatinine clearance of 25?", "bad kidneys, still ok to take {medicine}", "{medicine} on dialysis", "{medicine} with weak kidney function, give or hold"},
	"hepatic":          {"Is the dose of {medicine} lowered in hepatic impairment?", "Can {medicine} be given in cirrhosis?", "{medicine} liver disease", "{medicine} with a bad liver"},
	"interaction":      {"What interacts with {medicine}?", "Which medicines must not be combined with {medicine}?", "{medicine} and grapefruit", "anything that clashes with {medicine}"},
	"contraindication": {"When is {medicine} contraindicated?", "Who must not take {medicine}?", "{medicine} never with", "any no go for {medicine}"},
	"pregnancy":        {"Is {medicine} safe in pregnancy?", "Can a pregnant woman take {medicine}?", "{medicine} risk to the fetus", "mum to be wants {medicine}, ok"},
	"lactation":        {"Does {medicine} pass into breast milk?", "Can {medicine} be taken while breastfeeding?", "nursing mother on {medicine}"},
	"pediatric":        {"What is the dose of {medicine} for children?", "From which age may {medicine} be given?", "{medicine} for kids"},
	"geriatric":        {"Is {medicine} dosed otherwise in the elderly?", "{medicine} in patients over 65", "{medicine} for an old patient"},
	"adverse":          {"What are the common adverse reactions of {medicine}?", "Which side effects does {medicine} have?", "{medicine} side effects list", "feels sick since {medicine}, is it that"},
	"warning":          {"What warnings are there for {medicine}?", "Which precautions apply to {medicine}?", "what to watch out for with {medicine}"},
	"boxed":            {"Does {medicine} have a boxed warning?", "{medicine} black box warning", "most serious risk of {medicine}"},
	"monitoring":       {"What is monitored during treatment with {medicine}?", "Which blood tests are needed with {medicine}?", "{medicine} labs to check"},
	"administration":   {"How is {medicine} taken?", "Is {medicine} taken with food?", "can {medicine} be crushed"},
	"storage":          {"How is {medicine} stored?", "At which temperature is {medicine} kept?", "{medicine} in the fridge or not"},
	"overdose":         {"What is done after an overdose of {medicine}?", "{medicine} overdose symptoms", "took too much {medicine}"},
	"indication":       {"What is {medicine} used for?", "What is {medicine} indicated for?", "what is {medicine} good for"},
	"stopping":         {"How is {medicine} stopped?", "Can {medicine} be stopped at once?", "coming off {medicine}"},
}
