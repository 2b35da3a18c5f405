package access

// An Action is one thing to be done, "<noun>.<verb>"; the audit log has these words.
type Action string

// The actions.
const (
	PersonCreate Action = "person.create"
	PersonList   Action = "person.list"
	PersonShow   Action = "person.show"
	PersonDelete Action = "person.delete"

	OrganizationCreate Action = "organization.create"
	OrganizationList   Action = "organization.list"
	OrganizationShow   Action = "organization.show"
	OrganizationDelete Action = "organization.delete"

	MemberSet    Action = "member.set"
	MemberList   Action = "member.list"
	MemberDelete Action = "member.delete"

	ProjectCreate Action = "project.create"
	ProjectList   Action = "project.list"
	ProjectShow   Action = "project.show"
	ProjectDelete Action = "project.delete"

	TokenCreate Action = "token.create"
	RobotCreate Action = "robot.create"
	TokenList   Action = "token.list"
	TokenShow   Action = "token.show"
	TokenDelete Action = "token.delete"

	RegistryCreate Action = "registry.create"
	RegistryUpdate Action = "registry.update"
	RegistryList   Action = "registry.list"
	RegistryShow   Action = "registry.show"
	RegistryDelete Action = "registry.delete"
	RegistryTest   Action = "registry.test"

	CheckPut  Action = "check.put"
	CheckList Action = "check.list"

	SecretAllow Action = "secret.allow" // lets members name secrets under a prefix
	SecretList  Action = "secret.list"

	RepositoryPull   Action = "repository.pull"
	RepositoryPush   Action = "repository.push"
	RepositoryDelete Action = "repository.delete"

	ExecutionCreate Action = "execution.create"
	ExecutionList   Action = "execution.list"
	ExecutionShow   Action = "execution.show"
	ExecutionLog    Action = "execution.log"
	ExecutionStop   Action = "execution.stop"
	ExecutionReport Action = "execution.report"
	ExecutionAppend Action = "execution.append"

	GarbageCollect Action = "garbage.collect"

	NodeEnsure   Action = "node.ensure"
	NodeInvite   Action = "node.invite" // makes a join token
	NodeJoin     Action = "node.join"
	NodeList     Action = "node.list"
	NodeShow     Action = "node.show"
	NodeRevoke   Action = "node.revoke"
	WorkTake     Action = "work.take"
	WorkList     Action = "work.list"
	SnapshotShow Action = "snapshot.show"
	GrantTake    Action = "grant.take" // a right to pull from the hosted registry, for a day

	DataKeyPut  Action = "datakey.put"
	DataKeyShow Action = "datakey.show"

	EventDeliver Action = "event.deliver"
	EventList    Action = "event.list"

	AuditList         Action = "audit.list"         // of one organization
	AuditInstallation Action = "audit.installation" // what belongs to no organization
	AuditOwn          Action = "audit.own"          // what the caller did
	AuditRecord       Action = "audit.record"
)

// A rule is one line of the table. allowed may do it; sees may not, but may know that the target is there, so they are
// told "not allowed" and everybody else "not found".
type rule struct {
	allowed Standing
	sees    Standing
	changes bool // refused to read-only tokens
	audited bool // a success is worth an entry in the audit log; a refusal always is
	does    string
}

// change and read are the two ways to use the last columns: every change is audited, a read only when it is sensitive.
func change(allowed, sees Standing, does string) rule {
	return rule{allowed: allowed, sees: sees, changes: true, audited: true, does: does}
}

func read(allowed, sees Standing, does string) rule {
	return rule{allowed: allowed, sees: sees, does: does}
}

func sensitive(allowed, sees Standing, does string) rule {
	return rule{allowed: allowed, sees: sees, audited: true, does: does}
}

// rules is the one table of who may do what.
//
// The installation's administrator makes persons and organizations, and puts the first member into one; what belongs
// to an organization is the organization's own: an administrator who is no member of it sees neither its registries
// nor its executions, and has to become a member, which the audit log tells. An organization's admins have its
// registries, members, robots and audit log. Its members have its projects and executions. A person has personal
// projects, which nobody else sees. A node has what it was given.
var rules = map[Action]rule{
	PersonCreate: change(Process|Administrator, Anyone, "make persons on"),
	PersonList:   read(Anyone, 0, "list"),
	PersonShow:   read(Process|Administrator|Member|Owner, 0, "see"), // Member: of an organization that both are in
	PersonDelete: change(Process|Administrator, Member|Owner, "delete"),

	OrganizationCreate: change(Process|Administrator, Anyone, "make organizations on"),
	OrganizationList:   read(Anyone, 0, "list"),
	OrganizationShow:   read(Process|Administrator|Member|Node, 0, "see"),
	OrganizationDelete: change(Process|Administrator, Member|Node, "delete"),

	MemberSet:    change(Process|Administrator|Admin, Member|Node, "change the members of"),
	MemberList:   read(Process|Administrator|Member, Node, "see the members of"),
	MemberDelete: change(Process|Administrator|Admin|Owner, Member|Node, "remove members of"), // Owner: of one's own membership

	ProjectCreate: change(Member|Owner, Administrator|Node, "make projects of"),
	ProjectList:   read(Member|Owner, Administrator|Node, "see the projects of"),
	ProjectShow:   read(Member|Owner, 0, "see"),
	ProjectDelete: change(Admin|Owner, Member, "delete"),

	TokenCreate: change(Process|Administrator|Owner, Member, "make tokens for"), // Administrator: a new person's first one
	RobotCreate: change(Admin, Member|Administrator|Node, "make robots of"),
	TokenList:   sensitive(Anyone, 0, "list"),
	TokenShow:   sensitive(Process|Administrator|Admin|Owner, 0, "see"),
	TokenDelete: change(Process|Administrator|Admin|Owner, 0, "delete"),

	RegistryCreate: change(Admin, Member|Administrator|Node, "add registries to"),
	RegistryUpdate: change(Admin, Member|Administrator|Node, "change the registries of"),
	RegistryList:   sensitive(Admin, Member|Administrator|Node, "see the registries of"),
	RegistryShow:   sensitive(Admin, Member|Administrator|Node, "see the registries of"),
	RegistryDelete: change(Admin, Member|Administrator|Node, "delete registries of"),

	RegistryTest: change(Admin, Member|Administrator|Node, "test the registries of"),

	CheckPut:  {allowed: Process, sees: Anyone, changes: true, does: "write what checks found on"},
	CheckList: read(Process, Anyone, "see which checks are due on"),

	SecretAllow: change(Admin|Process|Administrator, Member|Owner|Node, "say which secrets may be named in"),
	SecretList:  read(Member|Owner|Process|Administrator, Node, "see which secrets may be named in"),

	RepositoryPull:   read(Member|Owner|Node, 0, "pull from"),
	RepositoryPush:   change(Member|Owner, Node, "push to"),
	RepositoryDelete: change(Admin|Owner, Member|Node, "delete from"),

	ExecutionCreate: change(Member|Owner, 0, "run executions in"),
	ExecutionList:   read(Member|Owner, Administrator|Node, "see the executions of"),
	ExecutionShow:   read(Member|Owner|Node, 0, "see"),
	ExecutionLog:    read(Member|Owner|Node, 0, "read the log of"),
	ExecutionStop:   change(Member|Owner, Node, "stop"),
	ExecutionReport: change(Node, Member|Owner, "report on"),
	ExecutionAppend: change(Node, Member|Owner, "write the log of"),

	GarbageCollect: change(Process|Administrator, Anyone, "collect the hosted registry's garbage on"),

	NodeEnsure:   change(Process, Anyone, "make nodes on"),
	NodeInvite:   change(Admin, Member|Administrator|Node, "make join tokens of"),
	NodeJoin:     change(Joiner, 0, "join"),
	NodeList:     read(Member, Administrator|Node, "see the nodes of"),
	NodeShow:     read(Member, Administrator|Node, "see the nodes of"),
	NodeRevoke:   change(Admin, Member|Administrator|Node, "revoke nodes of"),
	WorkTake:     change(Node, Anyone, "take work from"),
	WorkList:     read(Node, Anyone, "list the work of"),
	SnapshotShow: read(Node, Anyone, "read the snapshot of"),
	GrantTake:    read(Node, Anyone, "take a grant of"),

	DataKeyPut:  change(Node, Anyone, "publish data-plane keys on"),
	DataKeyShow: read(Member|Node, Administrator, "see the data-plane key of"),

	EventDeliver: change(Node, Anyone, "deliver events to"),
	EventList:    read(Admin, Member|Administrator|Node, "see the events of"),

	AuditList:         sensitive(Admin, Member|Administrator|Node, "read the audit log of"),
	AuditInstallation: sensitive(Process|Administrator, Anyone, "read the audit log of"),
	AuditOwn:          sensitive(Anyone, 0, "read the audit log of"),
	AuditRecord:       read(Anyone, 0, "write to"), // the server's own entries about a caller, read-only ones too
}

// Audited tells whether a success of a is written to the audit log. Refusals and failures always are.
func Audited(a Action) bool { return rules[a].audited }

// Changes tells whether a changes anything, and so is refused to read-only tokens.
func Changes(a Action) bool { return rules[a].changes }
