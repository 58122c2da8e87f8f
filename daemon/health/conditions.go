package health

import "time"

// The conditions, causes before their consequences. To add one: register it here, find
// it somewhere, and run 'go test ./daemon/health -update'.
var (
	DiskReadOnly = register(Condition{
		Code: "disk-read-only", Title: "The disk of the data folder can't be written", Severity: Critical, Within: time.Minute,
		Text: "The kernel has mounted it read-only, as it does when a disk fails. Nothing can be kept: no document, no feedback, no report.",
		Fix:  "'dmesg' says why; mount it again for writing ('mount -o remount,rw' its folder), replace the disk where it fails, then restart",
	})
	DiskFull = register(Condition{
		Code: "disk-full", Title: "The disk of the data folder is full", Severity: Error, Within: time.Minute, DependsOn: []*Condition{DiskReadOnly},
		Text: "Next to nothing can be written. Questions are answered from what is there; nothing new comes, and feedback is refused.",
		Fix:  "remove from that disk what is not rxedge's; 'rxedge disk' shows what rxedge has there, 'rxedge disk gc --urgent' removes what can be done without",
	})
	InodesLow = register(Condition{
		Code: "inodes-low", Title: "The disk of the data folder takes hardly any more files", Severity: Error, Within: time.Minute, DependsOn: []*Condition{DiskReadOnly},
		Text: "There may be room on it, but few numbers for files are left: then nothing new can be written.",
		Fix:  "remove from that disk the many small files that are not rxedge's ('du --inodes' finds them)",
	})
	DiskLow = register(Condition{
		Code: "disk-low", Title: "The disk of the data folder is short of room", Severity: Error, Within: time.Minute, DependsOn: []*Condition{DiskFull},
		Text: "What has to stay free would not, were the index built anew: new documents and bundles are refused until there is room.",
		Fix:  "remove from that disk what is not rxedge's, or lower disk.floor_mb in rxedge.toml and restart; 'rxedge disk gc' removes what nothing needs",
	})
	DiskBudgetExceeded = register(Condition{
		Code: "disk-budget-exceeded", Title: "Something takes more of the disk than it may", Severity: Warning, Within: 15 * time.Minute,
		Text: "Where it is the index, models or bundles, what is new of them is refused before it begins. Nothing that was kept goes for it, but what nothing needs.",
		Fix:  "'rxedge disk' shows what takes how much; 'rxedge disk gc' removes what nothing needs; else withdraw or remove some of it, or raise its budget ([disk] in rxedge.toml)",
	})
	DiskBudgetNear = register(Condition{
		Code: "disk-budget-near", Title: "Something takes nine tenths of what it may of the disk", Severity: Notice, Within: 15 * time.Minute,
		Text: "When the index, models or bundles take all of theirs, what is new of them is refused.",
		Fix:  "'rxedge disk' shows what takes how much; 'rxedge disk gc' removes what nothing needs",
	})
	DiskSlow = register(Condition{
		Code: "disk-slow-sync", Title: "The disk is slow to keep what it is given", Severity: Warning, DependsOn: []*Condition{DiskFull},
		Text: "A write that is to outlive a power cut takes so long that feedback, reports and starts are slow. A disk that fails is like that.",
		Fix:  "look at the disk ('dmesg', 'smartctl -a'); replace it where it fails, and keep the data folder off network disks and cards",
	})
	ClockWrong = register(Condition{
		Code: "clock-wrong", Title: "The clock is wrong", Severity: Error, Within: time.Minute,
		Text: "It stands before times that are known to be past. Certificates are then refused, ages of labels are wrong, and what is kept for a time is kept too long. What is signed is judged by the latest time that the centre has signed.",
		Fix:  "set the clock ('timedatectl set-time', or 'timedatectl set-ntp true' where a time server can be reached), and replace the battery of the board where it comes back after a power cut",
	})
	ClockJumped = register(Condition{
		Code: "clock-jumped", Title: "The clock has jumped", Severity: Warning, Within: 30 * time.Second, DependsOn: []*Condition{ClockWrong},
		Text: "It was set while the box ran, or stands, at a start, far from where it stood at the last stop. Questions are answered. What is counted and reported meanwhile may stand at the wrong hour; for a day nothing is thrown away for its age. Where the clock can't be right, before all of rxedge, the box goes on from the last time that it knew.",
		Fix:  "look whether 'date' is right, and set the clock where not; where it comes back with each power cut, replace the board's battery. It is gone after a day",
	})
	ClockUnsynchronised = register(Condition{
		Code: "clock-unsynchronised", Title: "The clock is not kept by a time server", Severity: Notice,
		Text: "It drifts by seconds a day. That does no harm for months; then certificates are judged wrongly.",
		Fix:  "'timedatectl set-ntp true' where a time server can be reached",
	})
	MemoryLow = register(Condition{
		Code: "memory-low", Title: "Memory is short", Severity: Warning, Within: time.Minute,
		Text: "The machine, or the part of it that the service may use, has little left. The kernel may end the service or its models.",
		Fix:  "end other programs, 'rxedge config set model.memory_mb N' with less and restart, or add memory",
	})
	MemoryKilled = register(Condition{
		Code: "memory-killed", Title: "The kernel has ended a program of the service for want of memory", Severity: Error, Within: time.Minute,
		Text: "A model or the daemon itself asked for more than there was. It is started again, and may be ended again.",
		Fix:  "give the service more memory (MemoryMax=), or choose a smaller model or 'rxedge config set model.memory_mb N' with less; then restart",
	})
	FilesLimit = register(Condition{
		Code: "files-limit", Title: "The service may open too few files", Severity: Warning, Within: time.Minute,
		Text: "With many generations of the index and many clients it runs out of them, and questions fail.",
		Fix:  "raise its limit (LimitNOFILE=65536 in the unit, 'ulimit -n' in a shell) and restart",
	})
	LoopbackMissing = register(Condition{
		Code: "loopback-missing", Title: "The machine has no loopback address", Severity: Critical,
		Text: "rxedge answers on this machine alone, through 127.0.0.1, and nobody can reach that.",
		Fix:  "'ip link set lo up', and look why it is down",
	})
	PortTaken = register(Condition{
		Code: "port-taken", Title: "Another program has the port", Severity: Critical,
		Text: "rxedge can't listen where the page and the clients look for it, so it does not start.",
		Fix:  "stop that program, or 'rxedge config set listen 127.0.0.1:PORT' with another port; then start the service",
	})

	DataMissing = register(Condition{
		Code: "data-folder-missing", Title: "There is no data folder yet", Severity: Notice,
		Text: "Nothing was ever kept here. The first start makes it.",
		Fix:  "start the service, or 'rxedge ingest PATH'; name another folder with --data where this is the wrong one",
	})
	DataUnusable = register(Condition{
		Code: "data-folder-unusable", Title: "The data folder can't be used", Severity: Critical, DependsOn: []*Condition{DiskReadOnly},
		Text: "Its path is no folder, or it may not be entered and written by whom it belongs to.",
		Fix:  "'rxedge doctor --fix' gives its owner the right to use it; else name a folder with --data",
	})
	DataOwner = register(Condition{
		Code: "data-folder-owner", Title: "Files of the data folder belong to somebody else", Severity: Critical, DependsOn: []*Condition{DataUnusable},
		Text: "The service can't read or write them, as after a command of another user or a copy made by root.",
		Fix:  "'rxedge doctor --fix' (as root) gives them to the folder's owner",
	})
	ConfigUnsound = register(Condition{
		Code: "config-unsound", Title: "The configuration is not sound", Severity: Critical,
		Text: "A setting is misspelt or has a value that it can't have. The service does not start with it; one that runs goes on with what it had read.",
		Fix:  "correct rxedge.toml where the sentence says ('rxedge config check' reads it again), then start the service",
	})
	ConfigPermissions = register(Condition{
		Code: "config-permissions", Title: "The configuration has the wrong permissions", Severity: Error,
		Text: "The service can't read it, and then does not start; or anybody may change it, and with it what is answered.",
		Fix:  "'rxedge doctor --fix' sets them",
	})
	SecretMissing = register(Condition{
		Code: "secret-missing", Title: "A client's token is not there", Severity: Critical,
		Text: "The configuration names a file with a token that is missing or can't be read. The service does not start without it.",
		Fix:  "put the token into that file, mode 0600, or take the client out of rxedge.toml; then start the service",
	})
	SecretPermissions = register(Condition{
		Code: "secret-permissions", Title: "A secret can be read by others", Severity: Critical,
		Text: "A token, or the key that the site shows the centre, lies in a file that other users of this machine may read. The service does not start with such a token.",
		Fix:  "'rxedge doctor --fix' takes the right away; where others use this machine, take the token or the enrolment for known and make it anew",
	})
	SocketPermissions = register(Condition{
		Code: "socket-permissions", Title: "The technician's socket has the wrong permissions", Severity: Warning,
		Text: "It is to be its owner's alone. The service looks at who calls besides, so nobody else is let in.",
		Fix:  "'rxedge doctor --fix' sets them",
	})
	SocketStale = register(Condition{
		Code: "socket-stale", Title: "A socket was left over", Severity: Notice,
		Text: "A service that was killed has left it. The next start replaces it.",
		Fix:  "'rxedge doctor --fix' removes it",
	})
	Leftovers = register(Condition{
		Code: "files-left-over", Title: "Unfinished files were left over", Severity: Notice,
		Text: "Writes that a power cut or a kill has ended. They take room, and nothing reads them.",
		Fix:  "'rxedge doctor --fix' removes them",
	})
	SetAside = register(Condition{
		Code: "damaged-aside", Title: "Damaged copies lie aside", Severity: Notice,
		Text: "What could not be read was moved out of the way and begun anew. It is kept for a person to look at, and takes room.",
		Fix:  "'rxedge doctor --fix --only damaged-aside' removes all but an index, once nobody needs them",
	})

	ReleaseOnTrial = register(Condition{
		Code: "release-on-trial", Title: "A new release is on trial", Severity: Notice,
		Text: "It was started and is not confirmed yet; where it does not come up, the one before is started again.",
		Fix:  "wait; 'rxedge service releases' says how it stands",
	})
	ReleaseRolledBack = register(Condition{
		Code: "release-rolled-back", Title: "A new release did not come up", Severity: Warning,
		Text: "The one before runs again, and answers as it did.",
		Fix:  "'rxedge service releases' says why; install a mended release, or 'rxedge service use VERSION --again'",
	})
	ServiceHangs = register(Condition{
		Code: "service-hangs", Title: "The service does not answer", Severity: Critical, DependsOn: []*Condition{DiskReadOnly},
		Text: "It has the data folder and says nothing to this tool. The service manager starts it again when its watchdog runs out.",
		Fix:  "'systemctl restart rxedged', or where it is no service end the process that is named and start it again",
	})
	ServiceRestarting = register(Condition{
		Code: "service-restarting", Title: "The service is started again and again", Severity: Critical,
		DependsOn: []*Condition{ConfigUnsound, ConfigPermissions, SecretMissing, SecretPermissions, PortTaken, LoopbackMissing, DataUnusable, DataOwner, DiskReadOnly, DiskFull, MemoryKilled},
		Text:      "It ends each time. Between the starts nothing is answered.",
		Fix:       "mend what else is found here; 'rxedge log' has its last words",
	})
	ServiceWatchdog = register(Condition{
		Code: "service-watchdog", Title: "The service hung, and was started again", Severity: Warning,
		Text: "Its watchdog ran out since the machine came up. It answers again; what every goroutine did is in the log.",
		Fix:  "'rxedge log' shows it; keep it for those who build rxedge ('rxedge support-bundle')",
	})
	ServiceStopped = register(Condition{
		Code: "service-stopped", Title: "The service does not run", Severity: Critical,
		DependsOn: []*Condition{ConfigUnsound, ConfigPermissions, SecretMissing, SecretPermissions, PortTaken, LoopbackMissing, DataUnusable, DataOwner, DiskReadOnly, ServiceRestarting},
		Text:      "No question is answered by it. Commands of this tool work on the data folder itself.",
		Fix:       "'systemctl start rxedged' where it is installed, 'make run' in a checkout",
	})
	ServiceVersion = register(Condition{
		Code: "service-version", Title: "The service runs another version than this tool", Severity: Warning,
		Text: "After an upgrade it was not started again, or this is another installation's tool. Some commands may fail.",
		Fix:  "'systemctl restart rxedged', or use the tool that belongs to it",
	})
	BoxUnopenable = register(Condition{
		Code: "data-folder-unreadable", Title: "What the data folder holds can't be opened", Severity: Critical,
		DependsOn: []*Condition{DataUnusable, DataOwner, DiskReadOnly, DiskFull, InodesLow, ConfigUnsound, FilesLimit},
		Text:      "Something in it keeps the service from starting.",
		Fix:       "do what the sentence says; 'rxedge restore' of a backup where it says that something is damaged",
	})

	DriverMissing = register(Condition{
		Code: "driver-missing", Title: "There is a card and no driver for it", Severity: Error, Within: time.Minute,
		Text: "The machine has an NVIDIA card, and its driver is not installed or not loaded, as after a new kernel. Models run on the processor, or not at all.",
		Fix:  "install the driver that 'rxedge profile detect' asks for, restart the machine",
	})
	DriverMismatch = register(Condition{
		Code: "driver-mismatch", Title: "The driver was changed and its old part still runs", Severity: Error, Within: time.Minute,
		Text: "Its library and its kernel module are of different versions, so that nobody can use the card.",
		Fix:  "restart the machine",
	})
	DriverAccess = register(Condition{
		Code: "driver-access", Title: "The service may not use the card", Severity: Error, Within: time.Minute,
		Text: "The driver is there, and its device files can't be opened.",
		Fix:  "'systemctl cat rxedged' is to have DeviceAllow= for the card, and /dev/nvidia* mode 0666; then restart",
	})
	DriverHangs = register(Condition{
		Code: "driver-hangs", Title: "The driver does not answer", Severity: Error, Within: time.Minute,
		Text: "The card or its driver hangs. Models that use it hang too and are given up.",
		Fix:  "restart the machine; replace the card where it comes back",
	})
	CardLost = register(Condition{
		Code: "card-lost", Title: "The card has failed", Severity: Error, Within: time.Minute, DependsOn: []*Condition{DriverHangs},
		Text: "It fell off the bus, or reports a fault that only a restart or a new card mends. Answers are sentences of the documents.",
		Fix:  "restart the machine; seat the card and its power cable again, or replace it, where it comes back ('rxedge gpu' says more)",
	})
	CardMemoryBad = register(Condition{
		Code: "card-ecc", Title: "The card's memory has errors", Severity: Error, Within: time.Minute,
		Text: "Errors were not corrected, or failed memory waits to be replaced by spare rows. What a model computes may be wrong.",
		Fix:  "restart the machine; replace the card where it comes back or no spare rows are left",
	})
	CardHot = register(Condition{
		Code: "card-hot", Title: "The card is too hot", Severity: Warning, Within: time.Minute,
		Text: "It slows itself down, and switches off when it gets hotter.",
		Fix:  "clean the air inlets and fans, give it air; 'rxedge gpu' shows its temperature",
	})
	CardPower = register(Condition{
		Code: "card-power", Title: "The card gets too little power", Severity: Warning, Within: time.Minute,
		Text: "The power supply or a cable holds it back.",
		Fix:  "look to its power cable and the power supply; 'rxedge gpu' shows what it may draw",
	})
	CardFull = register(Condition{
		Code: "card-memory-full", Title: "The card's memory is full", Severity: Warning, Within: time.Minute,
		Text: "A model may not fit when it is loaded the next time. Other programs may hold it.",
		Fix:  "'rxedge gpu' lists who holds it; end the others, or set a smaller model or context in rxedge.toml",
	})
	LibraryMissing = register(Condition{
		Code: "nvml-missing", Title: "The card is read through nvidia-smi", Severity: Notice,
		Text: "The driver's library libnvidia-ml can't be loaded. The card is watched all the same, more slowly, and its faults are heard of late.",
		Fix:  "install the driver's package that has libnvidia-ml.so.1",
	})
	EngineMissing = register(Condition{
		Code: "engine-missing", Title: "The engine is not installed", Severity: Warning, Within: 30 * time.Second,
		Text: "Without llama.cpp no model runs: answers are sentences of the documents.",
		Fix:  "install the package again, or 'make engine' in a checkout; then restart",
	})
	EngineBroken = register(Condition{
		Code: "engine-broken", Title: "The engine does not start", Severity: Error,
		Text: "Its program or one of its libraries is damaged or missing.",
		Fix:  "install the package again, or 'make engine' in a checkout; then restart",
	})
	EngineBackend = register(Condition{
		Code: "engine-backend", Title: "The engine can't use the card", Severity: Warning,
		DependsOn: []*Condition{DriverMissing, DriverMismatch, DriverAccess, DriverHangs, CardLost, EngineMissing, EngineBroken},
		Text:      "A library that its CUDA backend wants is not there, so that models run on the processor.",
		Fix:       "'rxedge gpu' names the library; install it",
	})
	ProfileUnsuited = register(Condition{
		Code: "profile-unsuited", Title: "The firmware profile does not suit this machine", Severity: Error,
		DependsOn: []*Condition{DriverMissing, DriverMismatch, DriverAccess, DriverHangs, CardLost, DiskLow},
		Text:      "It wants a card, memory or a disk that this machine does not have. Models don't start, or fail when they are asked.",
		Fix:       "'rxedge config set model.profile auto', or the one that 'rxedge profile detect' names; then restart",
	})
	ProfileLimits = register(Condition{
		Code: "profile-limits", Title: "The machine does less than its firmware profile reckons with", Severity: Warning,
		DependsOn: []*Condition{CardHot, CardPower, CardMemoryBad, CardFull, EngineMissing, EngineBroken, EngineBackend, ProfileUnsuited},
		Text:      "It works, more slowly than it should.",
		Fix:       "do what the sentence says; 'rxedge profile check' lists it all",
	})
	CatalogDamaged = register(Condition{
		Code: "catalog-damaged", Title: "An entry of the catalog of models is damaged", Severity: Error,
		Text: "The model that it describes can't be used. The others can.",
		Fix:  "delete the file that the sentence names, import the model again ('rxedge model import FILE'), then restart",
	})
	ModelMissing = register(Condition{
		Code: "model-missing", Title: "A model that is configured is not there", Severity: Error, Within: 30 * time.Second, DependsOn: []*Condition{CatalogDamaged},
		Text: "The box answers without it: without a generator in sentences of the documents, without an embedder by words alone.",
		Fix:  "'rxedge model import FILE', or 'rxedge model pull NAME' from a mirror; or take it out of rxedge.toml ('rxedge config unset model.ROLE'); then restart",
	})
	ModelDamaged = register(Condition{
		Code: "model-damaged", Title: "A model's file is damaged", Severity: Error, DependsOn: []*Condition{DiskReadOnly},
		Text: "Its bytes are not those that were imported. The engine may refuse it, or write nonsense; what it writes is held against the documents all the same.",
		Fix:  "import the same model again ('rxedge model import FILE', 'rxedge model pull NAME'), then restart; where it comes back, replace the disk",
	})
	ModelTooLarge = register(Condition{
		Code: "model-too-large", Title: "A model does not fit into the memory that models may take", Severity: Error,
		Text: "It is refused when it is to be loaded; the box answers without it.",
		Fix:  "choose a smaller model or one of lower precision ('rxedge model compress'), or 'rxedge config set model.memory_mb N' with more; then restart",
	})
	AdapterMissing = register(Condition{
		Code: "adapter-missing", Title: "An adapter's file is not there", Severity: Error,
		Text: "The model that it belongs to does not start without it.",
		Fix:  "correct its path in rxedge.toml, or take the adapter out; then restart",
	})
	DataNewer = register(Condition{
		Code: "data-newer", Title: "The data folder is of a later release", Severity: Critical,
		Text: "This release does not read it, and does not start over it. Nothing is touched.",
		Fix:  "start the release that is named ('rxedge service releases', 'rxedge service use VERSION'), or restore a backup from before into another folder",
	})
	DataVersionDamaged = register(Condition{
		Code: "data-version-damaged", Title: "The version of the data folder can't be read", Severity: Critical,
		Text: "Both copies of the file are damaged. What the folder holds is not touched until it is known how it is laid out.",
		Fix:  "'rxedge restore' of a backup into another folder",
	})
	MigrationFailed = register(Condition{
		Code: "migration-failed", Title: "The data folder could not be brought to this release", Severity: Critical,
		Text: "It is as it was: the release before reads it, and a new one that fails so is given up by itself.",
		Fix:  "free the room that the sentence names, or stay with the release before ('rxedge service use VERSION')",
	})
	KeyMissing = register(Condition{
		Code: "key-missing", Title: "The data folder is encrypted, and no key was given", Severity: Critical,
		Text: "Nothing of it is read, and nothing is begun anew over it. Where the key is lost for good, feedback, telemetry, kept answers, what waits for the centre and the site's keys are lost; documents and models are not.",
		Fix:  "give the service the credential data_key ('rxedge config encrypt --help'), or 'rxedge config set key_file FILE'; where it is lost, 'rxedge reset all' and 'rxedge enroll FILE' make the box anew",
	})
	KeyWrong = register(Condition{
		Code: "key-wrong", Title: "The data folder is encrypted with another key", Severity: Critical,
		Text: "The key that was given is not the one. Nothing is read, and nothing is begun anew over it.",
		Fix:  "give the key that it was encrypted with, or rotated to last; where it is lost, 'rxedge reset all' and 'rxedge enroll FILE' make the box anew",
	})
	KeyDamaged = register(Condition{
		Code: "key-damaged", Title: "The wrapped key of the data folder is damaged", Severity: Critical,
		Text: "Both copies are, so that no key opens what is encrypted.",
		Fix:  "'rxedge restore' of a backup, or copy encryption.a from one into the data folder; else 'rxedge reset all'",
	})
	KeyUnused = register(Condition{
		Code: "key-unused", Title: "A key was given, and the data folder is not encrypted", Severity: Warning, Within: time.Second,
		Text: "It was made before there was a key. It lies in the clear.",
		Fix:  "stop the service and 'rxedge config encrypt enable'",
	})
	MigrationTakenBack = register(Condition{
		Code: "migration-taken-back", Title: "What a later release changed of the data folder was taken back", Severity: Warning,
		Text: "That release was given up before it was confirmed. What it wrote into the parts that it had changed lies aside, and goes when a later release is confirmed.",
		Fix:  "nothing has to be done; it is gone after the next start",
	})
	MigrationKept = register(Condition{
		Code: "migration-kept", Title: "The data folder was changed by an upgrade", Severity: Notice, Within: time.Second,
		Text: "What was there before lies beside it, until the release was confirmed and the next start is clean.",
		Fix:  "nothing has to be done; restart the service where the room is wanted now",
	})
	UncleanStop = register(Condition{
		Code: "unclean-stop", Title: "The last stop was not clean", Severity: Notice,
		Text: "The daemon before was killed, crashed, or lost its power. What was acknowledged is there; the log says what was mended.",
		Fix:  "nothing has to be done; where it happens often, look at the power supply and at 'rxedge log'",
	})
	IndexDamaged = register(Condition{
		Code: "index-damaged", Title: "The index is damaged", Severity: Error,
		Text: "Not all of it reads as it was written. Questions that touch the rest are answered; one that touches the damage makes the box go back to the generation before.",
		Fix:  "'rxedge index rebuild' makes it anew from what reads as it was written, and names what was lost; 'rxedge ingest PATH' that again",
	})
	IndexLost = register(Condition{
		Code: "index-lost", Title: "The documents are lost", Severity: Critical, Within: time.Second,
		Text: "The index is damaged beyond use and nothing is left to answer from, but what was answered before. The sample does not take its place: it is not for clinical use.",
		Fix:  "'rxedge ingest PATH' with the documents, 'rxedge sync pull --retry' where they come from a centre, or 'rxedge restore' of a backup",
	})
	IndexRetreated = register(Condition{
		Code: "index-retreated", Title: "An earlier generation of the index serves", Severity: Error, Within: time.Second,
		Text: "A later one can't be read and is marked as damaged. Answers rest on documents as they were then: what was added or changed since is missing.",
		Fix:  "'rxedge ingest PATH' again what came since (or 'rxedge sync pull --retry'), then 'rxedge index compact'",
	})
	IndexMended = register(Condition{
		Code: "index-mended", Title: "The index was mended when it was opened", Severity: Warning,
		Text: "Something of it could not be read and was put right or left out.",
		Fix:  "do what the sentence says, or 'rxedge index rebuild'; it is gone after the next start",
	})
	IndexOldForm = register(Condition{
		Code: "index-old-form", Title: "The index was made otherwise than it would be now", Severity: Warning, Within: time.Second,
		Text: "By an earlier version, with other settings or another embedder. It serves as it is; some of what is searched for is not found, or not by meaning.",
		Fix:  "'rxedge index rebuild'",
	})
	IndexEmbedderMissing = register(Condition{
		Code: "index-embedder-missing", Title: "The index has vectors, and no embedder is there to ask by", Severity: Warning, Within: time.Second,
		Text: "Search is by words alone.",
		Fix:  "'rxedge config set model.embedder builtin', or 'rxedge model pull' the one that is named, then restart",
	})
	IndexSample = register(Condition{
		Code: "index-sample", Title: "Only the sample answers", Severity: Notice, Within: time.Second,
		Text: "Every answer rests on the sample formulary, which is there to try the box with and is not for clinical use.",
		Fix:  "'rxedge ingest PATH' with labels, or 'rxedge enroll FILE' to get those of a centre",
	})
	IndexEmpty = register(Condition{
		Code: "index-empty", Title: "There are no documents", Severity: Warning, Within: time.Second,
		Text: "Every question is answered with \"not in my documents\".",
		Fix:  "'rxedge ingest PATH', or 'rxedge enroll FILE' to get those of a centre",
	})
	Stepped = register(Condition{
		Code: "card-stepped-back", Title: "The box has stepped back to spare the card", Severity: Warning, Within: 30 * time.Second,
		Text: "The card is hot, full or faulty, so models run with less or not at all. Answers are then sentences of the documents.",
		Fix:  "'rxedge gpu' says why; clean the air inlets where it is hot. It ends by itself when the card is well",
	})
	ModelNotReady = register(Condition{
		Code: "model-not-ready", Title: "A model is not ready", Severity: Warning, Within: 30 * time.Second, DependsOn: []*Condition{Stepped, EngineMissing, EngineBroken, ModelMissing, ModelDamaged, ModelTooLarge, AdapterMissing, MemoryKilled},
		Text: "It starts, starts again, or was given up. Until it is ready the box answers without it: without a generator in sentences of the documents, without an embedder by words alone.",
		Fix:  "wait where it starts; 'rxedge doctor' finds what keeps it from it",
	})
	ModelFailed = register(Condition{
		Code: "model-failed", Title: "A model was given up", Severity: Error, Within: 2 * time.Minute, DependsOn: []*Condition{Stepped, EngineMissing, EngineBroken, ModelMissing, ModelDamaged, ModelTooLarge, AdapterMissing, MemoryKilled},
		Text: "Its engine ended or hung several times in a row, or its file is missing. The box answers without it.",
		Fix:  "'rxedge doctor' finds why; then restart",
	})
	ThresholdsOff = register(Condition{
		Code: "thresholds-off", Title: "Thresholds of cohorts are not applied", Severity: Warning, Within: time.Second,
		Text: "They can't be read, or were made for another guard. The guard's own threshold holds for everybody.",
		Fix:  "ask the centre to propose and publish them anew ('rxedge central fleet thresholds')",
	})
	CacheRenewed = register(Condition{
		Code: "cache-renewed", Title: "The cache of answers was begun anew", Severity: Notice,
		Text: "It was damaged. Nothing is lost but time: answers are worked out again.",
		Fix:  "nothing has to be done; it is gone after the next start",
	})
	FeedbackRenewed = register(Condition{
		Code: "feedback-renewed", Title: "The store of feedback was begun anew", Severity: Warning,
		Text: "It was damaged and lies aside; what people said before is not counted any more.",
		Fix:  "'rxedge restore' of a backup where it matters; it is gone after the next start",
	})
	TelemetryRenewed = register(Condition{
		Code: "telemetry-renewed", Title: "Counting began anew", Severity: Warning,
		Text: "The store of telemetry was damaged and lies aside; drift has no baseline until one is learned.",
		Fix:  "'rxedge restore' of a backup where it matters; it is gone after the next start",
	})
	Quarantined = register(Condition{
		Code: "quarantine", Title: "Files could not be read as documents", Severity: Warning, Within: time.Minute,
		Text: "They were left out, and a copy of each is kept. What they say is not found.",
		Fix:  "'rxedge index quarantine' says what is wrong with each; mend and ingest them, then 'rxedge index quarantine --remove-all'",
	})
	JournalDamaged = register(Condition{
		Code: "journal-damaged", Title: "The journal of rollouts was damaged", Severity: Warning,
		Text: "What was confirmed last serves; what was on trial is begun again, and part of the history is missing.",
		Fix:  "nothing has to be done; it is gone after the next start",
	})
	FeedbackFull = register(Condition{
		Code: "feedback-full", Title: "The store of feedback is full", Severity: Warning, Within: time.Minute,
		Text: "What people say of answers is refused.",
		Fix:  "'rxedge feedback export', then 'rxedge feedback remove --before DATE'",
	})
	TrustExpired = register(Condition{
		Code: "trust-expired", Title: "What the centre signed has run out", Severity: Warning, Within: time.Hour, DependsOn: []*Condition{ClockWrong},
		Text: "What the centre signed has run out by this machine's clock. What is here goes on serving; nothing new is believed.",
		Fix:  "look at the clock ('timedatectl'); where it is right, the centre has to sign anew ('rxedge central serve' does it while it runs)",
	})
	CertificateForeign = register(Condition{
		Code: "certificate-foreign", Title: "The site's certificate is not its own", Severity: Error,
		Text: "It does not fit the site's key, its name, or the fleet's authority, as when files of two sites were mixed.",
		Fix:  "'rxedge enroll FILE' with a new file of the centre ('rxedge central site revoke SITE', then 'rxedge central site add SITE' there)",
	})
	CertificateExpired = register(Condition{
		Code: "certificate-expired", Title: "The site's certificate has run out", Severity: Error, Within: time.Minute, DependsOn: []*Condition{ClockWrong},
		Text: "The hub does not admit this site any more. Questions are answered; nothing new comes, and reports wait.",
		Fix:  "'rxedge enroll FILE' with a new file of the centre ('rxedge central site revoke SITE', then 'rxedge central site add SITE' there)",
	})
	CertificateExpiring = register(Condition{
		Code: "certificate-expiring", Title: "The site's certificate runs out soon", Severity: Warning, Within: time.Minute, DependsOn: []*Condition{ClockWrong},
		Text: "A site renews it by itself when it is connected, and this one has not.",
		Fix:  "mend the link to the hub; else 'rxedge enroll FILE' with a new file of the centre ('rxedge central site revoke SITE', then 'rxedge central site add SITE' there)",
	})
	HubName = register(Condition{
		Code: "hub-name", Title: "The hub's name can't be resolved", Severity: Warning, Within: time.Minute,
		Text: "No name server knows it, or none can be reached. Reports wait, nothing new comes.",
		Fix:  "look at the network cable and at the name servers ('resolvectl status'); where the hub has moved, 'rxedge enroll FILE' with a new file of the centre",
	})
	HubProxy = register(Condition{
		Code: "hub-proxy", Title: "The proxy does not let the box through to the hub", Severity: Warning, Within: time.Minute,
		Text: "Reports wait, nothing new comes.",
		Fix:  "'rxedge config set sync.proxy http://HOST:PORT' and restart, or have the proxy let CONNECT to the hub through",
	})
	HubUnreachable = register(Condition{
		Code: "hub-unreachable", Title: "The hub can't be reached", Severity: Warning, Within: time.Minute, DependsOn: []*Condition{HubName},
		Text: "The line is down, a firewall is in the way, or the hub does not run. Reports wait on disk, nothing new comes; it is tried again by itself.",
		Fix:  "look at the network cable and the firewall, and ask the centre whether its hub runs; it ends by itself when the hub answers",
	})
	HubCertificate = register(Condition{
		Code: "hub-certificate", Title: "The hub and this box do not accept each other's certificate", Severity: Warning, Within: time.Minute,
		DependsOn: []*Condition{ClockWrong, CertificateExpired, CertificateForeign},
		Text:      "The clock is wrong, a certificate has run out, or somebody stands between the two.",
		Fix:       "look at the clock first; else 'rxedge enroll FILE' with a new file of the centre ('rxedge central site revoke SITE', then 'rxedge central site add SITE' there)",
	})
	HubRefused = register(Condition{
		Code: "hub-refused", Title: "The hub does not admit this site", Severity: Error, Within: time.Minute,
		DependsOn: []*Condition{ClockWrong, CertificateExpired, CertificateForeign},
		Text:      "It was revoked, or enrolled anew on another box.",
		Fix:       "'rxedge enroll FILE' with a new file of the centre ('rxedge central site revoke SITE', then 'rxedge central site add SITE' there)",
	})
	SpoolDamaged = register(Condition{
		Code: "spool-damaged", Title: "Reports for the centre were damaged", Severity: Warning, DependsOn: []*Condition{DiskFull, DiskReadOnly},
		Text: "The store that they wait in could not be opened, lies aside, and was begun anew.",
		Fix:  "'rxedge doctor --fix --only spool-damaged' removes it once nobody needs it",
	})
	SpoolFull = register(Condition{
		Code: "spool-full", Title: "The spool is full", Severity: Warning, Within: time.Minute,
		DependsOn: []*Condition{DiskFull, DiskReadOnly, HubName, HubProxy, HubUnreachable, HubCertificate, HubRefused, CertificateExpired},
		Text:      "What is to be reported no longer fits; the least important is dropped, and counted.",
		Fix:       "mend the link to the hub; 'rxedge config set sync.spool_mb N' makes room for more",
	})
	SpoolWaiting = register(Condition{
		Code: "spool-waiting", Title: "Reports have waited for long", Severity: Warning, Within: time.Minute,
		DependsOn: []*Condition{SpoolFull, HubName, HubProxy, HubUnreachable, HubCertificate, HubRefused, CertificateExpired},
		Text:      "The centre has not heard of this site for a day or more.",
		Fix:       "mend the link to the hub",
	})
	BundleQuarantined = register(Condition{
		Code: "bundle-quarantined", Title: "A bundle of the centre was refused", Severity: Warning, Within: time.Minute,
		DependsOn: []*Condition{DiskLow, DiskFull, ClockWrong},
		Text:      "It was damaged on the way, is not meant for this site, or did worse than what serves. What was there serves on.",
		Fix:       "'rxedge sync status' says why; 'rxedge sync pull --retry' tries it again",
	})
	BundleStale = register(Condition{
		Code: "bundle-stale", Title: "Nothing was heard of the centre for long", Severity: Warning, Within: time.Hour,
		DependsOn: []*Condition{ClockWrong, HubName, HubProxy, HubUnreachable, HubCertificate, HubRefused, CertificateExpired},
		Text:      "It is not known whether there are newer documents. Those that are here are answered from, with their dates.",
		Fix:       "mend the link to the hub, or 'rxedge bundle import FILE' from a medium",
	})
	RolloutRolledBack = register(Condition{
		Code: "rollout-rolled-back", Title: "What came last was taken back", Severity: Notice, Within: time.Minute,
		Text: "A candidate was tried and did worse than what serves, or failed. The pair before serves.",
		Fix:  "nothing has to be done; 'rxedge rollout status' says why",
	})
	LabelsStale = register(Condition{
		Code: "labels-stale", Title: "No label is newer than answer.stale_after", Severity: Warning, Within: time.Minute, DependsOn: []*Condition{ClockWrong, BundleStale},
		Text: "Every answer says that it rests on an old label, or is held back.",
		Fix:  "'rxedge ingest PATH' with newer labels, or 'rxedge sync pull' where they come from a centre",
	})
	DriftAlarm = register(Condition{
		Code: "drift-alarm", Title: "Questions or answers are not what they were", Severity: Notice, Within: time.Hour,
		Text: "What is asked, or how it is answered, has moved away from the baseline.",
		Fix:  "'rxedge telemetry alarms' says what moved and what it comes from",
	})
	SuiteFell = register(Condition{
		Code: "suite-fell", Title: "The golden questions are answered worse than before", Severity: Warning, Within: time.Hour,
		Text: "What the night's run found is worse than the runs before it by more than chance.",
		Fix:  "'rxedge eval history' shows since when; 'rxedge rollout rollback' where it came with a rollout",
	})
	LinkOff = register(Condition{
		Code: "link-off", Title: "The link to the centre is off", Severity: Error, DependsOn: []*Condition{CertificateForeign, DiskFull, DiskReadOnly, SpoolDamaged},
		Text: "What the site keeps for it can't be opened. Questions are answered; nothing new comes, and reports wait.",
		Fix:  "'rxedge doctor' says what of it is damaged; 'rxedge enroll FILE' with a new file makes the site anew",
	})
)
