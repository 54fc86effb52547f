/* Starts programs and measures each from before its fork until it is waited for.
 *
 *   launch AT_ONCE < JOBS
 *
 * A job is a line of fields with tabs between: the file it gets as standard input, the file that its output goes to, any
 * number of KEY=VALUE, `--`, the program's path and its arguments. For each job that ends a line is printed: its number,
 * its exit code (128 + n after a signal), its milliseconds. The last line is `all`, 0, milliseconds from the first start
 * to the last end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_JOBS = 4096, MOST_FIELDS = 64 };

struct job {
	char *fields[MOST_FIELDS + 1];
	char **argv;
	pid_t pid;
	uint64_t started;
};

static struct job jobs[MOST_JOBS];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int parse(struct job *job, char *line)
{
	int count = 0;

	line[strcspn(line, "\n")] = 0;
	for (char *field; count < MOST_FIELDS && (field = strsep(&line, "\t")); count++)
		job->fields[count] = field;
	for (int i = 2; i + 1 < count; i++) {
		if (!strcmp(job->fields[i], "--")) {
			job->fields[i] = NULL;
			job->argv = &job->fields[i + 1];
			return 0;
		}
	}
	return -1;
}

static void start(struct job *job)
{
	int in, out;

	job->started = now_ns();
	job->pid = vfork();
	if (job->pid < 0)
		fail("vfork");
	if (job->pid)
		return;
	in = open(job->fields[0], O_RDONLY);
	out = open(job->fields[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	close(in);
	close(out);
	execve(job->argv[0], job->argv, &job->fields[2]);
	_exit(127);
}

static void finish(int count)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);
	uint64_t ended = now_ns();

	if (pid < 0)
		fail("waitpid");
	for (int i = 0; i < count; i++) {
		if (jobs[i].pid == pid) {
			int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

			printf("%d %d %.3f\n", i, code, (ended - jobs[i].started) / 1e6);
			return;
		}
	}
}

int main(int argc, char **argv)
{
	int count = 0, running = 0, at_once = argc == 2 ? atoi(argv[1]) : 0;
	uint64_t first;
	char *line = NULL;
	size_t room = 0;

	if (at_once < 1) {
		fprintf(stderr, "usage: %s AT_ONCE < JOBS\n", argv[0]);
		return 2;
	}
	while (count < MOST_JOBS && getline(&line, &room, stdin) > 0) {
		if (parse(&jobs[count], line)) {
			fprintf(stderr, "line %d is not a job\n", count + 1);
			return 2;
		}
		count++;
		line = NULL; /* the job's fields point into it */
	}
	first = now_ns();
	for (int next = 0; next < count || running > 0;) {
		if (next < count && running < at_once) {
			start(&jobs[next++]);
			running++;
		} else {
			finish(next);
			running--;
		}
	}
	printf("all 0 %.3f\n", (now_ns() - first) / 1e6);
	return 0;
}
