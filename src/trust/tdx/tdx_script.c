/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust/tdx/tdx_script.c - a line of a SEAMCALL file: words, statements. tdx_script_call.c has the
 * leaves.
 */
#include "trust/tdx/tdx_script_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define READ_OR_WRITE "NAME GPA [rip N] [value N]"

bool script_fail(struct script_line *l, const char *word, const char *text)
{
	snprintf(l->e->word, sizeof(l->e->word), "%s", word ? word : "");
	snprintf(l->e->text, sizeof(l->e->text), "%s", text);
	return false;
}

const char *script_next(struct script_line *l)
{
	return l->at < l->count ? l->words[l->at++] : NULL;
}

bool script_end(struct script_line *l)
{
	return l->at == l->count || script_fail(l, l->words[l->at], "nothing more is expected");
}

bool script_number(struct script_line *l, const char *what, uint64_t *out)
{
	const char *word = script_next(l);
	char *end;

	if (!word)
		return script_fail(l, NULL, what);
	errno = 0;
	*out = strtoull(word, &end, 0);
	if (*end || end == word || errno || word[0] == '-')
		return script_fail(l, word, what);
	return true;
}

struct tdx_script_td *script_td(struct script_line *l)
{
	const char *name = script_next(l);

	for (unsigned i = 0; name && i < l->s->td_count; i++) {
		if (strcmp(l->s->tds[i].name, name) == 0)
			return &l->s->tds[i];
	}
	script_fail(l, name, "no TD of this name: make one with `td NAME`");
	return NULL;
}

bool script_level(struct script_line *l, unsigned *level)
{
	const char *word = script_next(l);

	for (*level = 0; word && *level <= TDX_512G; (*level)++) {
		if (strcasecmp(tdx_level_name(*level), word) == 0)
			return true;
	}
	return script_fail(l, word, "a level: 4K, 2M, 1G or 512G");
}

static bool make_td(struct script_line *l, const char *name, const struct tdx_setup_td *td)
{
	struct tdx_script_td *t;

	if (l->s->td_count == TDX_SCRIPT_TDS)
		return script_fail(l, name, "too many TDs");
	t = &l->s->tds[l->s->td_count++];
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->td = *td;
	return true;
}

bool script_new_name(struct script_line *l, const char *name)
{
	if (!name || strlen(name) >= TDX_SCRIPT_NAME)
		return script_fail(l, name, "a short name for the TD");
	if (l->s->td_count == TDX_SCRIPT_TDS)
		return script_fail(l, name, "too many TDs");
	for (unsigned i = 0; i < l->s->td_count; i++) {
		if (strcmp(l->s->tds[i].name, name) == 0)
			return script_fail(l, name, "a TD has this name already");
	}
	return true;
}

bool script_add_td(struct script_line *l, const char *name, uint64_t tdr)
{
	return make_td(l, name, &(struct tdx_setup_td){ .tdr = tdr });
}

static bool do_td(struct script_line *l)
{
	const char *name = script_next(l), *word;
	struct tdx_setup_td td;
	unsigned op = TDX_OP_RUNNABLE;

	if (!script_new_name(l, name))
		return false;
	word = script_next(l);
	if (word && strcmp(word, "op") == 0) {
		word = script_next(l);
		for (op = 0; op < TDX_OP_COUNT; op++) {
			if (word && strcasecmp(tdx_ops[op].name, word) == 0)
				break;
		}
		if (op == TDX_OP_COUNT)
			return script_fail(l, word, "an operation state: `cloister states tdx-op`");
	} else if (word) {
		return script_fail(l, word, "op STATE");
	}
	if (!script_end(l))
		return false;
	if (tdx_setup_td(l->s->m, (enum tdx_op)op, &td))
		return script_fail(l, name, "no free pages, or no free HKID, for a TD");
	return make_td(l, name, &td);
}

static bool do_sept(struct script_line *l)
{
	struct tdx_script_td *t = script_td(l);
	const char *word;
	uint64_t gpa;
	unsigned level, s;
	bool tracked = false;
	int ret;

	if (!t || !script_number(l, "a GPA", &gpa) || !script_level(l, &level))
		return false;
	word = script_next(l);
	for (s = 0; s < TDX_STATE_COUNT; s++) {
		if (word && (strcasecmp(tdx_states[s].name, word) == 0 ||
			     strcasecmp(tdx_states[s].brief, word) == 0))
			break;
	}
	if (s == TDX_STATE_COUNT)
		return script_fail(l, word, "a state of an entry: `cloister states tdx`");
	if (l->at < l->count) {
		word = script_next(l);
		tracked = strcmp(word, "tracked") == 0;
		if (!tracked && strcmp(word, "untracked") != 0)
			return script_fail(l, word, "tracked or untracked");
	}
	if (!tdx_gpa_is_private(gpa) || !clo_is_aligned(gpa, CLO_PAGE_SIZE << (9 * level)))
		return script_fail(l, NULL, "the GPA is not private, or not aligned to its level");
	if (!tdx_td_at(l->s->m, t->td.tdr))
		return script_fail(l, t->name, "this TD has no S-EPT root: TDH.MNG.ADDCX");
	if ((tdx_states[s].flags & TDX_S_LEAF && level > TDX_1G) ||
	    (level == TDX_4K && (s == TDX_NL_MAPPED || s == TDX_NL_BLOCKED)))
		return script_fail(l, word, "no entry of this level has this state");
	if (!script_end(l))
		return false;
	ret = tdx_setup_entry(l->s->m, t->td.tdr, gpa, level, (enum tdx_state)s, tracked);
	if (ret == -EEXIST)
		return script_fail(l, NULL, "an entry is there, or above it one that is no table");
	return ret == 0 || script_fail(l, NULL, "no free page");
}

static bool lock_operands(struct script_line *l, struct tdx_setup_lock *lock)
{
	static const char *const names[] = { "tree", "entry", "tdr", "epoch", "op" };
	struct tdx_script_td *t = script_td(l);
	const char *word;
	unsigned what;

	if (!t)
		return false;
	if (!tdx_td_at(l->s->m, t->td.tdr))
		return script_fail(l, t->name, "this TD has no S-EPT root: TDH.MNG.ADDCX");
	word = script_next(l);
	for (what = 0; what < CLO_ARRAY_SIZE(names); what++) {
		if (word && strcmp(names[what], word) == 0)
			break;
	}
	if (what == CLO_ARRAY_SIZE(names))
		return script_fail(l, word, "tree, entry GPA LEVEL, tdr, epoch or op");
	*lock = (struct tdx_setup_lock){ .what = (enum tdx_lock_what)what,
					 .mode = TDX_EX,
					 .tdr = t->td.tdr };
	if (what == TDX_LOCK_ENTRY &&
	    (!script_number(l, "a GPA", &lock->gpa) || !script_level(l, &lock->level)))
		return false;
	if (!tdx_gpa_is_private(lock->gpa))
		return script_fail(l, NULL, "the GPA is not private");
	if (l->at < l->count) {
		word = script_next(l);
		if (strcmp(word, "shared") == 0)
			lock->mode = TDX_SH;
		else if (strcmp(word, "exclusive") != 0)
			return script_fail(l, word, "exclusive or shared");
	}
	return script_end(l);
}

static bool do_lock(struct script_line *l)
{
	struct tdx_setup_lock lock;

	if (!lock_operands(l, &lock))
		return false;
	if (l->s->lock_count == TDX_SCRIPT_LOCKS)
		return script_fail(l, NULL, "too many locks are held");
	if (!tdx_setup_lock(l->s->m, &lock))
		return script_fail(l, NULL, "it is held already, or a vCPU is inside");
	l->s->locks[l->s->lock_count++] = lock;
	return true;
}

static bool do_unlock(struct script_line *l)
{
	struct tdx_setup_lock lock;

	if (!lock_operands(l, &lock))
		return false;
	for (unsigned i = 0; i < l->s->lock_count; i++) {
		struct tdx_setup_lock *h = &l->s->locks[i];

		if (h->what != lock.what || h->tdr != lock.tdr || h->gpa != lock.gpa ||
		    h->level != lock.level)
			continue;
		tdx_setup_unlock(l->s->m, h);
		*h = l->s->locks[--l->s->lock_count];
		return true;
	}
	return script_fail(l, NULL, "no `lock` statement holds it");
}

static bool do_on(struct script_line *l)
{
	uint64_t lp;

	if (!script_number(l, "a processor's number", &lp) || !script_end(l))
		return false;
	if (lp > 4095)
		return script_fail(l, NULL, "a processor's number, up to 4095");
	l->s->lp = (uint32_t)lp;
	return true;
}

static bool do_interrupt(struct script_line *l)
{
	uint64_t n;

	if (!script_number(l, "at which look an interrupt is pending; 0: never", &n) ||
	    !script_end(l))
		return false;
	if (n > 1U << 20)
		return script_fail(l, NULL, "a smaller number");
	clo_tdx_set_interrupt(l->s->m, (uint32_t)n);
	return true;
}

static bool do_check(struct script_line *l)
{
	struct tdx_check_fail f;

	if (!script_end(l))
		return false;
	l->r->kind = TDX_SCRIPT_CHECK;
	if (tdx_check(l->s->m, &f))
		snprintf(l->r->text, sizeof(l->r->text), "%s", f.text);
	return true;
}

static bool do_leave(struct script_line *l)
{
	struct tdx_script_td *t = script_td(l);

	if (!t || !script_end(l))
		return false;
	if (clo_tdx_interrupt(l->s->m, t->td.tdvpr, &l->r->exit))
		return script_fail(l, t->name, "its vCPU is not inside: TDH.VP.ENTER");
	l->r->kind = TDX_SCRIPT_ACCESS;
	l->r->outcome = 1;
	return true;
}

static bool do_touch(struct script_line *l, bool write)
{
	struct clo_tdx_access a = { .size = sizeof(a), .write = write, .bytes = 1 };
	struct tdx_script_td *t = script_td(l);
	const char *word;
	uint64_t value = 0;
	int ret;

	if (!t || !script_number(l, READ_OR_WRITE, &a.gpa))
		return false;
	while ((word = script_next(l))) {
		bool is_rip = strcmp(word, "rip") == 0;

		if (!is_rip && strcmp(word, "value") != 0)
			return script_fail(l, word, READ_OR_WRITE);
		if (!script_number(l, READ_OR_WRITE, is_rip ? &a.rip : &value))
			return false;
	}
	l->r->value = (uint8_t)value;
	ret = clo_tdx_access(l->s->m, t->td.tdvpr, &a, &l->r->value, &l->r->exit);
	if (ret < 0)
		return script_fail(l, t->name, "its vCPU is not inside, or the GPA is too wide");
	l->r->kind = TDX_SCRIPT_ACCESS;
	l->r->outcome = ret;
	l->r->gpa = a.gpa;
	snprintf(l->r->text, sizeof(l->r->text), "%s", write ? "write" : "read");
	return true;
}

static bool do_read(struct script_line *l)
{
	return do_touch(l, false);
}

static bool do_write(struct script_line *l)
{
	return do_touch(l, true);
}

static const struct {
	const char *word;
	bool (*run)(struct script_line *l);
} statements[] = {
	{ "td", do_td },         { "sept", do_sept },   { "lock", do_lock },
	{ "unlock", do_unlock }, { "on", do_on },       { "interrupt", do_interrupt },
	{ "check", do_check },   { "leave", do_leave }, { "read", do_read },
	{ "write", do_write },
};

/* Up to the comment; false: too many words, or one too long. */
static bool split(struct script_line *l, const char *line)
{
	size_t n = strcspn(line, "#\n");

	if (n >= sizeof(l->buf))
		return script_fail(l, NULL, "the line is too long");
	memcpy(l->buf, line, n);
	l->buf[n] = '\0';
	for (char *at = l->buf; *(at += strspn(at, " \t\r"));) {
		if (l->count == TDX_SCRIPT_WORDS)
			return script_fail(l, at, "too many words");
		l->words[l->count++] = at;
		at += strcspn(at, " \t\r");
		if (*at)
			*at++ = '\0';
	}
	return true;
}

bool tdx_script_line(struct tdx_script *s, const char *line, struct tdx_script_result *r,
		     struct tdx_script_error *e)
{
	struct script_line l = { .s = s, .r = r, .e = e };
	const char *word;

	*e = (struct tdx_script_error){ { 0 }, { 0 } };
	*r = (struct tdx_script_result){ .before.size = sizeof(r->before),
					 .after.size = sizeof(r->after),
					 .exit.size = sizeof(r->exit) };
	if (!split(&l, line))
		return false;
	word = script_next(&l);
	if (!word)
		return true;
	for (size_t i = 0; i < CLO_ARRAY_SIZE(statements); i++) {
		if (strcmp(statements[i].word, word) == 0)
			return statements[i].run(&l);
	}
	return script_call(&l, word);
}

int tdx_script_open(struct tdx_script *s, uint64_t mem_bytes)
{
	struct clo_tdx_config c = { .size = sizeof(c), .mem_bytes = mem_bytes };

	*s = (struct tdx_script){ .m = NULL };
	return clo_tdx_create(&c, &s->m);
}

void tdx_script_close(struct tdx_script *s)
{
	clo_tdx_destroy(s->m);
}
