package main

// wording says what a message of the daemon's log means, and what to do.
type wording struct{ means, do string }

const (
	nothing    = "Nothing: it mends itself."
	telling    = "Nothing, unless it comes again and again: then pass 'rxedge support-bundle' on."
	bugReport  = "It is a fault of the program. Pass 'rxedge support-bundle' on; questions are answered meanwhile."
	lookAtDisk = "See whether the disk is full or failing: 'rxedge doctor'."
	kept       = "What was moved aside stays for a look; remove it when nobody wants it."
)

// wordings of what is logged as a warning or an error. A test finds messages in the code
// that have none.
var wordings = map[string]wording{
	// Starting and stopping.
	"the last stop was not clean": {"The power failed, or the daemon was killed. What was acknowledged was read again from the disk.", "Nothing, unless it comes often: then look at the power supply, and at 'rxedge log --level error' before it."},
	"rxedged ended":               {"The daemon could not start, or could not go on.", "Mend what the error names, then start it again."},
	"stopped with an error":       {"A part of the daemon did not close as it should; the next start reads what it left.", telling},
	"no log is kept":              {"The data folder took no file for the log; what is logged is on the daemon's screen alone.", lookAtDisk},
	"lines of the log were lost":  {"The disk took no lines for a while.", lookAtDisk},
	"the data folder was changed by a release that was given up, and is taken back":       {"The folder was converted for a release that failed; what it was before is put back.", "Nothing. Documents and feedback that came since that release are to be given again; tell the centre."},
	"the change of the data folder could not be confirmed; it is tried at the next start": {"The originals of a conversion take room until then.", lookAtDisk},
	"the sample formulary was left out":                                                   {"There is not enough room on the disk to put the sample in.", "Make room: 'rxedge doctor' says how much there is to be."},
	"the service manager can't be told how the daemon is":                                 {"systemd can't be reached, and does not learn that the daemon is ready.", "See that it is started by the unit rxedged.service and its NotifyAccess was not changed."},
	"the service manager was not told":                                                    {"One message to systemd was lost.", nothing},
	"the watchdog's setting can't be read":                                                {"systemd gave a watchdog's time that is none; the daemon is not watched.", "Look at WatchdogSec in 'systemctl cat rxedged'."},
	"the daemon does not answer itself":                                                   {"The daemon's own question got no answer. systemd starts it again if that goes on.", "See what else is logged around it; 'rxedge doctor' names the cause if it lasts."},
	"a release was given up":                                                              {"A new version of rxedge failed its trial, and the one before runs.", "'rxedge service releases' says why; tell the centre."},

	"the data folder can't be measured":                                          {"What it holds can't be read, so that budgets are not kept.", lookAtDisk},
	"the disk is full: the reserve was given up":                                 {"There was no room left to start; what is held free for that was used.", "Make room: 'rxedge doctor' says how. The reserve is made again when there is."},
	"no reserve can be kept for a full disk":                                     {"There is not enough room to hold some free.", lookAtDisk},
	"not all that nothing needs could be removed":                                {"Some of it takes room until the next night.", lookAtDisk},
	"the clock has jumped; what is kept for a time is not thrown away for a day": {"The machine's clock was set forward or back by much.", "See that the clock is right ('timedatectl'): certificates and dates depend on it."},
	"the time can't be kept for the next start":                                  {"A jump of the clock would not be noticed at the next start.", lookAtDisk},

	// Documents and the index.
	"the index is damaged":                                                     {"What was read of the index is not what was written.", "'rxedge index verify' says what is damaged; the generation before serves by itself."},
	"the index is damaged beyond use and is moved aside":                       {"Nothing of the index can be read. It lies beside the new, empty one.", "Ingest the documents again, or restore a backup. Have the disk looked at."},
	"a generation of the index is damaged and the one before serves":           {"A build of the index can't be read; an older one answers.", "'rxedge index rebuild' makes it anew. If it comes again, have the disk looked at."},
	"a damaged generation of the index could not be marked":                    {"The note that a build is damaged could not be written; the next start finds out again.", lookAtDisk},
	"an earlier generation of the index can't serve":                           {"Going back one build did not help: that one is damaged, too.", "'rxedge index rebuild', or ingest the documents again."},
	"a generation of the index is still marked as a candidate":                 {"A mark that has no meaning any more could not be removed.", lookAtDisk},
	"old generations of the index could not be removed":                        {"Older builds take room that should be free.", lookAtDisk},
	"an unfinished generation of the index could not be removed":               {"What was left of a build that was cut off takes room.", lookAtDisk},
	"candidates of the index could not be removed":                             {"Builds that were never used take room.", lookAtDisk},
	"closing a generation of the index failed":                                 {"An older build was not closed as it should be; nothing of it is used.", telling},
	"index opened with a note":                                                 {"Something was found when the index was opened, and stepped around.", "'rxedge status' repeats it, with what mends it."},
	"index":                                                                    {"Something was found when the index was opened, and stepped around.", "'rxedge status' repeats it, with what mends it."},
	"index rolled back":                                                        {"The latest batch of documents was taken back, as somebody asked or because it is damaged.", "Nothing, if you asked for it."},
	"segments of the index could not be merged; they are searched as they are": {"Tidying the index up failed; search is as right as before, and a little slower.", lookAtDisk},
	"the index could not be packed anew; it goes on as it is":                  {"Tidying the index up failed; search is as right as before.", lookAtDisk},
	"could not put a file into quarantine":                                     {"A document that can't be read could not be set aside, either.", lookAtDisk},
	"vectors that came with a document can't be used; they are made here":      {"The centre's vectors do not fit; the box makes its own.", nothing},
	"the vectors of the index could not be made":                               {"Making vectors failed; search is by words until it succeeds. It is tried again.", "'rxedge model list' and 'rxedge doctor', if it stays so."},
	"searching without vectors":                                                {"The embedder can't be loaded, so documents are found by their words alone.", "'rxedge doctor' says what it lacks."},
	"the embedder failed; searching by BM25 alone":                             {"For one question no vector could be made; it was searched by words.", telling},

	// Answers.
	"the documents can't be searched; an earlier answer was given": {"Search failed, and a person got what was answered to the same question before, with its date.", "'rxedge index verify'; see what else is logged."},
	"answering failed in the code":                                 {"One question ended in a fault of the program. The others were not touched.", bugReport},
	"a request failed in the code":                                 {"One request ended in a fault of the program. The others were not touched.", bugReport},
	"request failed":                                               {"A request could not be answered, for the reason given.", "Mend what the reason names; 'rxedge status' says whether questions are answered."},
	"reranking failed":                                             {"Passages were used in the order in which the search had them.", telling},
	"answering without a cache":                                    {"Kept answers can't be opened; every question is answered anew.", "'rxedge reset cache' while rxedged is stopped."},
	"cache":                                                        {"Kept answers were damaged; it was begun anew without them.", nothing},
	"feedback":                                                     {"What people said of answers was damaged and lies aside; it was begun anew.", kept},
	"ids of answers could not be kept; feedback on them will be refused after a restart": {"The disk did not take them.", lookAtDisk},
	"old ids of answers could not be forgotten":                                          {"They take some room; it is tried again.", lookAtDisk},

	// Models, engine, cards.
	"the engine ended": {"The program that runs a model ended, and is started again. Answers are sentences of the documents meanwhile.", "If it comes often: 'rxedge gpu' and 'rxedge doctor'; a smaller model may be what the card holds."},
	"the engine cannot be ended; it is left behind": {"A model's program does not react, mostly because the driver hangs.", "Restart the machine when nobody asks."},
	"unloading a model":                             {"A model could not be put away as it should.", telling},
	"listing the catalog":                           {"The catalog of models can't be read.", "'rxedge doctor' names the file."},
	"stepping":                                      {"The box steps back to spare the card, or goes forward again, for the reason given.", "If heat is the reason: clean the fans, see to the air. 'rxedge gpu' shows the temperature."},
	"the cards can't be read; models run on the processor":                                    {"The driver does not answer. Models run slowly.", "'rxedge gpu' says what the driver lacks."},
	"the cards can't be watched":                                                              {"The driver does not answer, so heat and faults are not seen.", "'rxedge gpu' says what the driver lacks."},
	"the profile's ladder can't be used; cards are shown and not acted on":                    {"The firmware profile is wrong; the box does not step back from heat.", "'rxedge profile check'; tell the centre."},
	"the driver reports a fault":                                                              {"The card or its driver had a fault; its number is NVIDIA's (XID).", "'rxedge gpu' says what mends it: a restart of the machine, or another card."},
	"a profile that came with a bundle can't be read; the one before is used":                 {"The centre sent a firmware profile that this version does not understand.", "Tell the centre."},
	"a profile that came with a bundle can't be read; the budget of latency is the box's own": {"The centre sent a firmware profile that this version does not understand.", "Tell the centre."},

	// Rollouts and trials.
	"rollout": {"Something is wrong with a change on its way.", "'rxedge rollout status' says what, and what to do."},
	"the confirmed pair can't serve; what the index has does":                       {"What was last confirmed can't be opened; the box answers from what there is.", "'rxedge rollout status'; tell the centre."},
	"a damaged candidate could not be rolled back":                                  {"A change that failed could not be taken back.", "'rxedge rollout rollback'."},
	"the bundle has a language model and no engine is installed to run it":          {"The model is kept and not used; answers are sentences of the documents.", "Install the engine: 'rxedge doctor' says how."},
	"the state of bundles is behind the journal of rollouts":                        {"A kill fell between two notes; the later one counts.", nothing},
	"a challenger's generation can't be searched":                                   {"A trial can't ask its candidate.", "'rxedge rollout status'; the trial ends by itself."},
	"a trial's verdict could not be followed":                                       {"A trial is decided and its winner could not be put to use.", "'rxedge rollout status' says why."},
	"a trial's figures could not be kept":                                           {"The disk did not take them.", lookAtDisk},
	"a trial's figures could not be kept for the centre":                            {"The spool did not take them.", lookAtDisk},
	"a step of a rollout could not be kept for the centre":                          {"The spool did not take it; the centre learns of it with the next state.", lookAtDisk},
	"the cohorts of what served before could not be read; they excuse nothing":      {"The candidate is judged without them, which is the stricter way.", telling},
	"thresholds of cohorts are not applied to all":                                  {"The centre's thresholds do not fit this box; the usual one holds for the rest.", "Tell the centre: the reason is in the line."},
	"documents stay out of search though the bundle that withdrew them went back":   {"They were withdrawn for safety, and stay so.", "The next bundle settles it; tell the centre if it does not."},
	"what bundles have withdrawn can't be read; the next bundle says it again":      {"A note of withdrawn documents is damaged.", "'rxedge sync pull' fetches the next bundle."},
	"what was withdrawn could not be taken out after a rollback; it is tried again": {"A withdrawn document may be found until that succeeds.", "'rxedge index remove ID' takes it out now."},
	"what was moved aside as damaged can't be removed":                              {"It takes room.", lookAtDisk},

	// The centre.
	"sync":        {"A step of the work with the centre failed, for the reason given. It is tried again.", "'rxedge sync status' says how it stands."},
	"sync is off": {"What the site keeps of its centre can't be read; nothing is fetched or reported. Questions are answered.", "'rxedge sync status'; if it stays: 'rxedge reset site' and enrol again."},
	"the link to the centre is off until the next start": {"The spool or the connection could not be started.", "Mend what the error names and start rxedged again."},
	"the hub":   {"The connection to the centre's hub had an error.", nothing},
	"the spool": {"What waits for the centre could not be read for a moment.", lookAtDisk},
	"the spool could not write; is the disk full?":                           {"Reports to the centre may be lost while that lasts. Questions are answered.", lookAtDisk},
	"the spool can't be opened again yet":                                    {"Reports wait in memory.", lookAtDisk},
	"the spool's store can't be opened and was set aside":                    {"What waited for the centre is damaged and lies aside; it was begun anew.", kept},
	"this site's certificate could not be renewed; it is tried again":        {"The centre did not renew it yet; until it has run out nothing changes.", "'rxedge sync status' says until when; tell the centre in good time."},
	"the index could not be compared with the active bundle":                 {"Whether documents of the bundle are missing is not known; it is looked at again.", telling},
	"the index lacks documents of the active bundle; they are put again":     {"Documents went (a reset, a restored backup) and are put back.", nothing},
	"the vectors of a bundle can't be read; this box makes its own":          {"It takes longer until the bundle is in use.", nothing},
	"a line of the history could not be kept for the centre":                 {"The spool did not take it.", lookAtDisk},
	"a day of telemetry could not be kept for the centre; it is tried again": {"The spool did not take it.", lookAtDisk},
	"an alarm could not be kept for the centre":                              {"The spool did not take it; the box shows it all the same.", lookAtDisk},

	// What is counted.
	"answers have changed":        {"What is asked or answered is unlike what it was: the feature is named.", "'rxedge telemetry' shows it; tell the centre if it is not explained by new documents or staff."},
	"telemetry":                   {"What was counted is damaged and lies aside; counting began anew.", kept},
	"telemetry could not be read": {"The figures of /metrics and of the station page lack these.", lookAtDisk},
	"telemetry could not be written; it is tried again":                                       {"Counts wait in memory.", lookAtDisk},
	"a window of telemetry is damaged and is passed over":                                     {"One hour or day is missing in the figures.", nothing},
	"windows of telemetry lay in the future and were brought back":                            {"The clock was far ahead for a while; what was counted then is told of this hour, or of yesterday.", "See that the clock is right ('timedatectl')."},
	"a window of telemetry was damaged; it is counted anew":                                   {"One hour is counted from now on.", nothing},
	"a trace of a slow question is damaged and is passed over":                                {"One trace is missing.", nothing},
	"a week of explanations can't be read; it is begun anew":                                  {"What tells why the guard doubted is missing for that week.", nothing},
	"cohorts of a week of explanations could not be forgotten; it is tried at the next start": {"Names of groups that are not told apart any more are still on the disk.", "Start rxedged again."},
	"explanations could not be kept; it is tried again":                                       {"They wait in memory.", lookAtDisk},
	"the days of telemetry could not be compared":                                             {"Drift is not told until it succeeds.", lookAtDisk},
	"the sentences that questions are counted by could not be embedded":                       {"One figure of drift is missing until the embedder works.", telling},
	"the golden questions can't be read":                                                      {"The file that suite.questions names is not as it should be.", "Mend what the line names; 'rxedge config show suite' says which file."},
	"the golden questions could not be asked":                                                 {"Tonight's run ended early.", telling},
	"the runs of golden questions can't be read":                                              {"They can't be compared with tonight's.", lookAtDisk},
}
