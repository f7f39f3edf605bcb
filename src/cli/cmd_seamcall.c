/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_seamcall.c - `cloister seamcall`: what does the module say if X is called in state Y.
 */
#include "cli.h"

#include "cloister/cloister.h"
#include "trust/tdx/tdx.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MEM_BYTES (64ULL << 20)

static const char *rwx_text(uint32_t rwx)
{
	static const char *const texts[] = {
		"---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"
	};

	return texts[rwx & 7];
}

/* What bits 31:0 of a status say: an operand, or a detail. */
static void status_detail(uint64_t status, char *out, size_t size)
{
	uint32_t low = (uint32_t)status;
	const char *operand = clo_tdx_operand_name(status);

	if (operand[0])
		snprintf(out, size, " %s", operand);
	else if (low)
		snprintf(out, size, " 0x%x", low);
	else
		out[0] = '\0';
}

static const char *reason_text(uint32_t reason)
{
	return reason == 48 ? "EPT_VIOLATION" : reason == 1 ? "EXTERNAL_INTERRUPT" : "?";
}

static const char *exit_kind(uint64_t extended)
{
	static const char *const names[] = { "NONE", "ACCEPT",  "GPA_DETAILS",          "?",
					     "?",    "ATTR_WR", "PENDING_EPT_VIOLATION" };

	return (extended & 15) < 7 ? names[extended & 15] : "?";
}

static void print_exit(const struct clo_tdx_exit *e)
{
	printf("  exit %s", reason_text(e->reason));
	if (e->reason == 48)
		printf(" qualification 0x%" PRIx64 " extended 0x%" PRIx64 " (%s) gpa 0x%" PRIx64,
		       e->qualification, e->extended, exit_kind(e->extended), e->gpa);
	putchar('\n');
}

static void print_entry(const struct tdx_script_result *r)
{
	const struct clo_tdx_entry *e = &r->after;

	printf("  entry 0x%" PRIx64 " %s  %s %s  raw 0x%016" PRIx64, r->gpa,
	       tdx_level_name(e->level), e->name, rwx_text(e->rwx), e->raw);
	if (e->raw != r->before.raw || e->level != r->before.level)
		printf("  was %s %s", r->before.name, rwx_text(r->before.rwx));
	putchar('\n');
}

static void print_pages(const struct tdx_script_result *r)
{
	for (unsigned i = 0; i < r->page_count; i++) {
		const struct tdx_script_page *p = &r->pages[i];

		printf("  %s%spage 0x%" PRIx64 " %s  %s", p->role, p->role[0] ? " " : "",
		       p->hpa >> 12, tdx_level_name(p->level), p->type_name);
		if (p->owner[0])
			printf(" of %s", p->owner);
		putchar('\n');
	}
}

static void print_call(const struct tdx_script_result *r)
{
	char detail[32];

	if (r->outcome == 1) {
		print_exit(&r->exit);
	} else {
		status_detail(r->regs.rax, detail, sizeof(detail));
		printf("  RAX %016" PRIx64 " %s%s\n", r->regs.rax, clo_tdx_status_name(r->regs.rax),
		       detail);
		if (r->shows_regs)
			printf("  RCX %016" PRIx64 "  RDX %016" PRIx64 "\n", r->regs.rcx,
			       r->regs.rdx);
	}
	if (r->has_entry)
		print_entry(r);
	print_pages(r);
}

static void print_result(const char *text, const struct tdx_script_result *r)
{
	printf("%s\n", text);
	if (r->kind == TDX_SCRIPT_CALL)
		print_call(r);
	else if (r->kind == TDX_SCRIPT_CHECK)
		printf("  %s\n", r->text[0] ? r->text : "all holds");
	else if (r->outcome == 1)
		print_exit(&r->exit);
	else if (r->outcome == 2)
		printf("  #VE: the page is pending\n");
	else
		printf("  0x%02x\n", r->value);
}

static void add_hex(struct json_object *o, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%016" PRIx64, v);
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_text(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static struct json_object *json_entry(const struct clo_tdx_entry *e)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "level", tdx_level_name(e->level));
	add_text(o, "state", e->name);
	add_text(o, "rwx", rwx_text(e->rwx));
	add_hex(o, "raw", e->raw);
	return o;
}

static void json_call(struct json_object *o, const struct tdx_script_result *r)
{
	struct json_object *pages = json_object_new_array();

	add_text(o, "leaf", r->leaf->name);
	if (r->outcome != 1) {
		add_hex(o, "rax", r->regs.rax);
		add_text(o, "status", clo_tdx_status_name(r->regs.rax));
		add_text(o, "operand", clo_tdx_operand_name(r->regs.rax));
		add_hex(o, "rcx", r->regs.rcx);
		add_hex(o, "rdx", r->regs.rdx);
	}
	if (r->has_entry) {
		json_object_object_add(o, "before", json_entry(&r->before));
		json_object_object_add(o, "after", json_entry(&r->after));
	}
	for (unsigned i = 0; i < r->page_count; i++) {
		struct json_object *p = json_object_new_object();

		add_text(p, "role", r->pages[i].role);
		add_hex(p, "hpa", r->pages[i].hpa);
		add_text(p, "size", tdx_level_name(r->pages[i].level));
		add_text(p, "type", r->pages[i].type_name);
		add_text(p, "owner", r->pages[i].owner);
		json_object_array_add(pages, p);
	}
	json_object_object_add(o, "pages", pages);
}

static void json_exit(struct json_object *o, const struct clo_tdx_exit *e)
{
	struct json_object *x = json_object_new_object();

	add_text(x, "reason", reason_text(e->reason));
	add_hex(x, "qualification", e->qualification);
	add_hex(x, "extended", e->extended);
	add_hex(x, "gpa", e->gpa);
	json_object_object_add(o, "exit", x);
}

static void print_json_line(unsigned line, const char *text, const struct tdx_script_result *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "line", json_object_new_int((int)line));
	add_text(o, "text", text);
	if (r->kind == TDX_SCRIPT_CALL)
		json_call(o, r);
	else if (r->kind == TDX_SCRIPT_CHECK)
		add_text(o, "violation", r->text);
	else if (r->outcome == 0)
		add_hex(o, "value", r->value);
	if (r->outcome == 2)
		json_object_object_add(o, "ve", json_object_new_boolean(1));
	if (r->outcome == 1)
		json_exit(o, &r->exit);
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* Without what is around it and behind a #. */
static char *trimmed(char *line)
{
	char *end;

	line[strcspn(line, "#\n")] = '\0';
	line += strspn(line, " \t\r");
	end = line + strlen(line);
	while (end > line && strchr(" \t\r", end[-1]))
		end--;
	*end = '\0';
	return line;
}

static int run_lines(const struct cli_options *opt, const char *name, FILE *in,
		     struct tdx_script *s)
{
	struct tdx_script_result r;
	struct tdx_script_error e;
	int status = CLI_OK;
	char *line = NULL;
	size_t size = 0;

	for (unsigned n = 1; status != CLI_USAGE && getline(&line, &size, in) >= 0; n++) {
		char *text = trimmed(line);

		if (!tdx_script_line(s, text, &r, &e)) {
			if (e.word[0])
				fprintf(stderr, "%s:%u: '%s': %s\n", name, n, e.word, e.text);
			else
				fprintf(stderr, "%s:%u: %s\n", name, n, e.text);
			status = CLI_USAGE;
		} else if (r.kind != TDX_SCRIPT_NOTHING) {
			if (r.kind == TDX_SCRIPT_CHECK && r.text[0])
				status = CLI_FINDING;
			if (opt->json)
				print_json_line(n, text, &r);
			else
				print_result(text, &r);
		}
	}
	free(line);
	return status;
}

int cli_seamcall(const struct cli_options *opt, int argc, char **argv)
{
	struct tdx_script s;
	const char *name;
	FILE *in = stdin;
	int status = cli_only_args(argc, argv, 1);

	if (status)
		return status;
	if (optind == argc)
		return cli_usage_error("seamcall", "a file is needed, or - for standard input");
	name = argv[optind];
	if (strcmp(name, "-") != 0)
		in = fopen(name, "re");
	if (!in)
		return cli_usage_error("seamcall", "%s: %s", name, strerror(errno));
	if (tdx_script_open(&s, MEM_BYTES)) {
		status = cli_usage_error("seamcall", "no memory for the platform");
	} else {
		status = run_lines(opt, in == stdin ? "-" : name, in, &s);
		tdx_script_close(&s);
	}
	if (in != stdin)
		fclose(in);
	return status;
}
