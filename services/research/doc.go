// Package research is the service of what a project looks at, and wants to find out.
//
// Owns: technologies, with every change of their status or ring; research tasks, with
// the files at them.
//
// Hears: auth.v1.ProjectDeleting.
//
// Says: research.v1.TechnologyAdded, TechnologyChanged, TechnologyMoved,
// TechnologyRemoved, TaskOpened, TaskChanged, TaskCompleted, TaskReopened, TaskCancelled,
// TaskRemoved, DocumentAttached, DocumentRemoved; platform.v1.ProjectPurged.
//
// Serves: the operations of the tags technologies and research-tasks; to auth: countResearch; exportPage,
// restorePart.
//
// The main story:
//
//  1. Somebody says that a technology has another status.
//  2. internal/serve writes what the body says over the row, which is locked meanwhile.
//  3. One transaction: the row, the move, TechnologyChanged and TechnologyMoved in
//     the outbox.
//  4. internal/radar puts each technology where its status and domain lead, and
//     says what moved since a date.
//
// A task is moved by three operations, all of which ask task.State.Next where it goes.
package research
