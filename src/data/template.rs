//! Chat templates: messages to the text that a model knows, and which part of it the assistant wrote.
//!
//! A template is a Jinja program that comes with the model's tokenizer. It runs here as Hugging Face
//! runs it (block trimming, Python's string methods, `raise_exception`) but for the clock: a template
//! that asks for today's date gets a fixed one, so that the same rows are the same tokens on any day.

use super::error::RowFault;
use super::read::{Message, Role};
use minijinja::{Environment, Error, ErrorKind, context};
use std::fmt::Write;
use std::ops::Range;

/// For models that bring no template of their own.
const CHATML: &str = "{% for message in messages %}\
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
    {% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const NAME: &str = "chat";
/// Instructions that one rendering may take: a loop without an end is an error. A conversation of a thousand turns
/// takes some hundred thousand.
const FUEL: u64 = 20_000_000;

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles `source`; `bos` and `eos` are what it writes as `bos_token` and `eos_token`.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, String> {
        let mut env = Environment::new();
        env.set_trim_blocks(true);
        env.set_lstrip_blocks(true);
        env.set_fuel(Some(FUEL));
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_function("raise_exception", |message: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        env.add_function("strftime_now", fixed_date);
        env.add_template_owned(NAME, without_generation_tags(source)).map_err(|e| in_one_line(&e))?;
        Ok(Self { env, bos: bos.into(), eos: eos.into() })
    }

    /// The `ChatML` template.
    pub fn chatml(bos: &str, eos: &str) -> Result<Self, String> {
        Self::new(CHATML, bos, eos)
    }

    /// The text of `messages`; with `generate`, up to where the assistant's next words would begin.
    pub fn render(&self, messages: &[Message], generate: bool) -> Result<String, RowFault> {
        // Templates tell absent tools by `none`, which an undefined name is not.
        let context = context! {
            messages,
            add_generation_prompt => generate,
            bos_token => self.bos,
            eos_token => self.eos,
            tools => (),
            documents => (),
        };
        let fault = |e: Error| RowFault::ChatTemplate(in_one_line(&e));
        self.env.get_template(NAME).map_err(fault)?.render(context).map_err(fault)
    }

    /// The text of `messages`, and the bytes of it that the assistant wrote: each turn with what ends it.
    pub fn render_turns(&self, messages: &[Message]) -> Result<(String, Vec<Range<usize>>), RowFault> {
        let full = self.render(messages, false)?;
        let mut turns: Vec<Range<usize>> = Vec::new();
        let assistant = |(_, message): &(usize, &Message)| message.role == Role::Assistant;
        for (i, _) in messages.iter().enumerate().filter(assistant) {
            let from = turns.last().map_or(0, |turn| turn.end);
            let turn = self
                .turn_by_prefixes(messages, i, &full)
                .or_else(|| self.turn_by_search(messages, i, &full, from))
                .ok_or(RowFault::TurnNotFound { turn: turns.len() + 1 })?;
            turns.push(turn);
        }
        Ok((full, turns))
    }

    /// Where turn `i` lies, if the text of the messages before it, and of those up to it, begins `full`.
    fn turn_by_prefixes(&self, messages: &[Message], i: usize, full: &str) -> Option<Range<usize>> {
        let before = self.render(&messages[..i], true).ok()?;
        let upto = self.render(&messages[..=i], false).ok()?;
        let stable = upto.starts_with(&before) && full.starts_with(&upto);
        stable.then_some(before.len()..upto.len())
    }

    /// Where the words of turn `i` lie in `full`, for templates that write a turn differently once
    /// others follow it, or that prompt with what a turn does not begin with. What ends the turn is taken
    /// from the text up to it, as far as `full` goes on in the same way.
    fn turn_by_search(
        &self,
        messages: &[Message],
        i: usize,
        full: &str,
        from: usize,
    ) -> Option<Range<usize>> {
        // The same words may stand in an earlier turn or in the frame, so the search begins where the
        // text before this turn parts from the full one. A prompt may part from it too late.
        let parting = |generate: bool| {
            let before = self.render(&messages[..i], generate).ok()?;
            Some(shared(&before, full).max(from))
        };
        let starts = [parting(true), parting(false), Some(from)];
        // Thoughts are written in the last turn only, if at all.
        let content = &messages[i].content;
        let words = [content.as_str(), content.rsplit("</think>").next().unwrap_or_default()];
        for words in words.map(str::trim).into_iter().filter(|words| !words.is_empty()) {
            for from in starts.into_iter().flatten() {
                let Some(at) = full.get(from..).and_then(|rest| rest.find(words)) else { continue };
                let (start, end) = (from + at, from + at + words.len());
                let upto = self.render(&messages[..=i], false).ok();
                let ending =
                    upto.as_deref().and_then(|upto| upto.rfind(words).map(|at| &upto[at + words.len()..]));
                return Some(start..end + ending.map_or(0, |ending| shared(ending, &full[end..])));
            }
        }
        None
    }
}

/// How many bytes two texts begin with alike.
fn shared(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

/// `{% generation %}` marks the assistant's words for Hugging Face's own masks; the spans are found
/// without it, so the tag becomes one that changes nothing.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(len) = rest[open..].find("%}") else { break };
        let tag = &rest[open..open + len];
        let word = tag.trim_start_matches(['{', '%', '-', '+']).trim_end_matches(['-', '+']).trim();
        out.push_str(&rest[..open]);
        match word {
            "generation" => out.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(tag),
        }
        rest = &rest[open + len..];
    }
    out + rest
}

/// 26 July 2024 in the given form: the date that Llama 3's templates fall back on.
fn fixed_date(format: &str) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        let _ = match (c, if c == '%' { chars.next() } else { None }) {
            ('%', Some('d')) => write!(out, "26"),
            ('%', Some('m')) => write!(out, "07"),
            ('%', Some('b')) => write!(out, "Jul"),
            ('%', Some('B')) => write!(out, "July"),
            ('%', Some('Y')) => write!(out, "2024"),
            ('%', Some('A')) => write!(out, "Friday"),
            ('%', Some('H' | 'M' | 'S')) => write!(out, "00"),
            ('%', Some(other)) => write!(out, "{other}"),
            (c, _) => write!(out, "{c}"),
        };
    }
    out
}

fn in_one_line(error: &Error) -> String {
    error.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(turns: &[(Role, &str)]) -> Vec<Message> {
        turns.iter().map(|&(role, content)| Message { role, content: content.into() }).collect()
    }

    /// The parts of the text that carry loss.
    fn learnt(template: &str, messages: &[Message]) -> Result<Vec<String>, RowFault> {
        let template = ChatTemplate::new(template, "<s>", "</s>").unwrap();
        let (text, turns) = template.render_turns(messages)?;
        Ok(turns.into_iter().map(|turn| text[turn].to_owned()).collect())
    }

    const TWO: &[(Role, &str)] =
        &[(Role::User, "yes"), (Role::Assistant, "no"), (Role::User, "no"), (Role::Assistant, " yes ")];

    #[test]
    fn chatml_is_the_fallback() {
        let template = ChatTemplate::chatml("", "").unwrap();
        let (text, turns) = template.render_turns(&chat(TWO)).unwrap();
        assert_eq!(
            text,
            "<|im_start|>user\nyes<|im_end|>\n<|im_start|>assistant\nno<|im_end|>\n\
             <|im_start|>user\nno<|im_end|>\n<|im_start|>assistant\n yes <|im_end|>\n"
        );
        let learnt: Vec<_> = turns.into_iter().map(|turn| &text[turn]).collect();
        assert_eq!(learnt, ["no<|im_end|>\n", " yes <|im_end|>\n"]);
    }

    /// Llama 2's, shortened: no generation prompt, roles must alternate, Python methods.
    const LLAMA2: &str = "{% for message in messages %}\n\
        {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n\
            {{ raise_exception('roles must alternate') }}\n\
        {% endif %}\n\
        {% if message['role'] == 'user' %}\n\
            {{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}\n\
        {%- else %}\n\
            {{ ' ' + message['content'].strip() + ' ' + eos_token }}\n\
        {%- endif %}\n\
        {% endfor %}";

    #[test]
    fn a_template_without_a_generation_prompt() {
        assert_eq!(learnt(LLAMA2, &chat(TWO)).unwrap(), [" no </s>", " yes </s>"]);
    }

    #[test]
    fn a_template_may_refuse_a_chat() {
        let fault = learnt(LLAMA2, &chat(&TWO[1..])).unwrap_err();
        assert_eq!(fault.to_string(), "invalid operation: roles must alternate (in chat:3)");
    }

    /// Writes an empty thought into the last turn only, as Qwen 3 does.
    const THINKER: &str = "{%- for m in messages %}\
        {{- '<' + m.role + '>' }}\
        {%- if m.role == 'assistant' and loop.last %}{{ '<think></think>' }}{% endif %}\
        {{- m.content + '<end>' }}\
        {%- endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";

    #[test]
    fn a_template_that_changes_earlier_turns_is_searched() {
        assert_eq!(learnt(THINKER, &chat(TWO)).unwrap(), ["no<end>", "<think></think> yes <end>"]);
    }

    #[test]
    fn the_search_is_not_misled_by_the_question() {
        let turns = [(Role::User, "a"), (Role::Assistant, "a"), (Role::User, "b"), (Role::Assistant, "b")];
        let template = ChatTemplate::new(THINKER, "", "").unwrap();
        let (text, turns) = template.render_turns(&chat(&turns)).unwrap();
        assert_eq!(turns[0], 23..29);
        assert_eq!(text[..23], *"<user>a<end><assistant>");
    }

    /// Prompts with a thought that turns do not begin with, and takes thoughts out, as `DeepSeek` R1 does.
    const THOUGHT_PROMPT: &str = "{%- set ns = namespace(system='') -%}\
        {%- for m in messages if m['role'] == 'system' -%}{%- set ns.system = m['content'] -%}{%- endfor -%}\
        {{ bos_token }}{{ ns.system }}\
        {%- for m in messages -%}\
        {%- if m['role'] == 'user' -%}{{ '<User>' + m['content'] }}{%- endif -%}\
        {%- if m['role'] == 'assistant' and not m['tool_calls'] and m['content'] is not none -%}\
        {%- set content = m['content'] -%}\
        {%- if '</think>' in content -%}{%- set content = content.split('</think>')[-1] -%}{%- endif -%}\
        {{ '<Assistant>' + content + '<end>' }}\
        {%- endif -%}\
        {%- endfor -%}\
        {%- if add_generation_prompt -%}{{ '<Assistant><think>\\n' }}{%- endif -%}";

    #[test]
    fn a_prompt_may_say_more_than_a_turn() {
        let turns = [
            (Role::System, "S"),
            (Role::User, "Is A a letter?"),
            (Role::Assistant, "A"),
            (Role::User, "<b>?"),
            (Role::Assistant, "<b>"),
            (Role::User, "?"),
            (Role::Assistant, "<think>hm</think>\n\nb"),
        ];
        assert_eq!(learnt(THOUGHT_PROMPT, &chat(&turns)).unwrap(), ["A<end>", "<b><end>", "b<end>"]);
    }

    /// What Mistral's and Qwen's templates ask of Jinja, in one.
    #[test]
    fn the_usual_language_is_spoken() {
        let template = "{%- macro shout(text) -%}{{ text.upper() }}{%- endmacro -%}\
            {%- if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}\
            {%- set users = rest | selectattr('role', 'equalto', 'user') | list %}\
            {%- set ns = namespace(kept=[], n=0) %}\
            {%- for m in rest[::-1] %}\
            {%- if m['role'] not in ['tool'] and not m.get('tool_calls') %}{% set ns.kept = ns.kept + [m] %}{% endif %}\
            {%- if loop.index0 > 1 %}{% break %}{% endif %}\
            {%- endfor %}\
            {{- users[-1].content == 'no' }}|{{ ns.kept | length }}|{{ shout(rest[0].content) }}|\
            {{- ' a\\n'.lstrip().rstrip('\\n') }}|{{ 'abc'[:-1] }}|{{ tools is none }}|{{ nothing is defined }}|\
            {{- 'x' if rest[0].content is string else 'y' }}|{{ {'a': 1}.items() | list | length }}|{{ '%s' | format('z') }}";
        let template = ChatTemplate::new(template, "", "").unwrap();
        let messages = [&chat(&[(Role::System, "s")]), &chat(TWO)[..]].concat();
        assert_eq!(template.render(&messages, false).unwrap(), "True|3|YES|a|ab|True|False|x|1|z");
    }

    #[test]
    fn a_turn_that_cannot_be_found_is_an_error() {
        let upper = "{% for m in messages %}{{ loop.length }}{{ m.content.upper() }}{% endfor %}";
        assert_eq!(learnt(upper, &chat(TWO)), Err(RowFault::TurnNotFound { turn: 1 }));
    }

    #[test]
    fn generation_tags_change_nothing() {
        let template =
            "{% for m in messages %}{%- generation -%} {{ m.content }} {%- endgeneration %}{% endfor %}";
        let template = ChatTemplate::new(template, "", "").unwrap();
        assert_eq!(template.render(&chat(&TWO[..2]), false).unwrap(), "yesno");
    }

    #[test]
    fn today_is_always_the_same_day() {
        let template =
            ChatTemplate::new("{{ strftime_now('%d %b %Y') }}{{ tools is none }}", "", "").unwrap();
        assert_eq!(template.render(&[], false).unwrap(), "26 Jul 2024True");
    }

    #[test]
    fn a_broken_template_is_refused() {
        assert!(ChatTemplate::new("{% if %}", "", "").unwrap_err().contains("syntax error"));
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        let endless = ChatTemplate::new(endless, "", "").unwrap();
        assert!(endless.render(&[], false).unwrap_err().to_string().contains("fuel"));
    }
}
