// PTX text -> Module: tokens, variables, functions.
#include "ptx_parser.h"

#include <cstdlib>
#include <cstring>

#include "ptx_decode.h"
#include "ptx_outline.h"
#include "run_options.h"

namespace ptxrun {

void Parser::module()
{
    while (peek().kind != Token::End) {
        const std::string &t = peek().text;
        if (t == ".version" || t == ".target" || t == ".address_size") {
            if (t == ".target") {
                module_.target = atoi(peek(1).text.c_str() + 3); // sm_NN
            }
            // The operands of these are words and numbers on the same line.
            for (int line = next().line; peek().line == line && peek().kind != Token::End;) {
                next();
            }
        } else if (t == ".visible" || t == ".weak" || t == ".common" || t == ".extern") {
            next();
        } else if (t == ".entry" || t == ".func") {
            function();
        } else if (t == ".global" || t == ".const" || t == ".shared") {
            for (Variable &v : declaration()) {
                v.dynamic = extern_ && v.space == Space::Shared;
                module_.variables[v.name] = v;
            }
            expect(";");
        } else if (t == ".section") {
            while (peek().text != "{") {
                next();
            }
            skip_braces();
        } else if (t == ".alias" || t == ".pragma") {
            skip_to_semicolon();
        } else {
            fail("unsupported at module level");
        }
        extern_ = t == ".extern";
    }
}

bool Parser::accept(const char *text)
{
    if (peek().text != text || peek().kind == Token::String) {
        return false;
    }
    next();
    return true;
}

void Parser::expect(const char *text)
{
    if (!accept(text)) {
        fail(std::string("expected ") + text);
    }
}

void Parser::fail(const std::string &why)
{
    size_t a = text_.rfind('\n', peek().begin), b = text_.find('\n', peek().begin);
    a = a == std::string::npos ? 0 : a + 1;
    fatal("PTX line %d: %s at '%s'\n  %s", peek().line, why.c_str(), peek().text.c_str(),
          text_.substr(a, b - a).c_str());
}

void Parser::skip_to_semicolon()
{
    while (peek().kind != Token::End && next().text != ";") {
    }
}

void Parser::skip_braces()
{
    int depth = 0;
    do {
        Token t = next();
        if (t.kind == Token::End) {
            fail("unbalanced braces");
        }
        if (t.kind == Token::Punct) {
            depth += t.text == "{" ? 1 : t.text == "}" ? -1 : 0;
        }
    } while (depth);
}

uint64_t Parser::number()
{
    bool minus = accept("-");
    if (peek().kind != Token::Number) {
        fail("expected a number");
    }
    uint64_t v = literal(next().text);
    return minus ? 0 - v : v;
}

uint64_t Parser::literal(const std::string &s)
{
    // 0f3F800000 and 0d3FF0000000000000 are the bits of a float and a double.
    if (s.size() > 2 && s[0] == '0' && strchr("fFdD", s[1])) {
        return strtoull(s.c_str() + 2, nullptr, 16);
    }
    if (s.size() > 2 && s[0] == '0' && strchr("bB", s[1])) {
        return strtoull(s.c_str() + 2, nullptr, 2);
    }
    return strtoull(s.c_str(), nullptr, 0);
}

std::vector<Variable> Parser::declaration(bool single)
{
    static const std::map<std::string, Space> spaces = {{".global", Space::Global},
                                                        {".const", Space::Const},
                                                        {".shared", Space::Shared},
                                                        {".local", Space::Local},
                                                        {".param", Space::Param}};
    Variable proto;
    size_t align = 0, element = 0;
    int vec = 1;
    auto space = spaces.find(next().text);
    if (space == spaces.end()) {
        fail("expected a state space");
    }
    proto.space = space->second;
    for (; peek().text[0] == '.' && peek().kind == Token::Word;) {
        std::string t = next().text;
        if (t == ".align") {
            align = number();
        } else if (t == ".ptr") {
            // .ptr .global .align 4: only hints
            if (peek().text[0] == '.' && peek().text != ".align") {
                next();
            }
            if (accept(".align")) {
                number();
            }
        } else if (t == ".v2" || t == ".v4") {
            vec = t[2] - '0';
        } else if (Type type = type_from_name(t.substr(1)); type != Type::None) {
            element = size_of(type) * vec;
        } else if (t != ".attribute") {
            fail("unsupported type or attribute " + t);
        } else {
            while (next().text != ")") {
            }
        }
    }
    if (!element) {
        fail("declaration without a type");
    }
    std::vector<Variable> result;
    do {
        Variable v = proto;
        v.name = next().text;
        v.size = element;
        v.align = align ? align : element;
        bool unsized = false;
        while (accept("[")) {
            if (accept("]")) {
                unsized = true;
            } else {
                v.size *= number();
                expect("]");
            }
        }
        if (accept("=")) {
            initializer(v, element / vec);
        }
        if (unsized) {
            v.size = v.init.size();
        }
        v.init.resize(v.init.empty() ? 0 : v.size);
        result.push_back(v);
    } while (!single && accept(","));
    return result;
}

void Parser::initializer(Variable &v, size_t element)
{
    if (accept("{")) {
        do {
            initializer(v, element);
        } while (accept(","));
        expect("}");
        return;
    }
    uint64_t bits = 0;
    if (peek().kind == Token::Word) { // an address: name or generic(name), perhaps + offset
        std::string name = next().text;
        if (name == "generic") {
            expect("(");
            name = next().text;
            expect(")");
        }
        if (accept("+")) {
            bits = number();
        }
        v.init_addresses.emplace_back(v.init.size(), name);
    } else {
        bits = number();
    }
    for (size_t i = 0; i < element; i++) {
        v.init.push_back(i < 8 ? bits >> 8 * i & 255 : 0);
    }
}

void Parser::function()
{
    Function f;
    f.line = peek().line;
    f.is_entry = next().text == ".entry";
    function_ = &f;
    registers_.assign(1, {});
    variables_.assign(1, {});
    if (peek().text == "(") {
        f.rets = formals();
    }
    f.name = next().text;
    if (peek().text == "(") {
        f.params = formals();
    }
    while (peek().text != "{" && peek().text != ";") { // performance directives
        std::string t = next().text;
        if (t == ".maxntid" || t == ".reqntid") {
            f.max_threads = 1;
            do {
                f.max_threads *= (unsigned)number();
            } while (accept(","));
        } else if (peek().kind == Token::End) {
            fail("function without a body");
        }
    }
    if (!accept(";")) {
        f.has_body = true;
        block();
    }
    auto old = module_.functions.find(f.name);
    if (old == module_.functions.end() || f.has_body) {
        module_.functions[f.name] = std::move(f);
    }
}

std::vector<int> Parser::formals()
{
    std::vector<int> result;
    expect("(");
    while (!accept(")")) {
        if (peek().text == ".reg") {
            // Only hand-written PTX passes in registers.
            fail("parameters in registers");
        }
        result.push_back(declare(declaration(true)[0]));
        accept(",");
    }
    return result;
}

int Parser::declare(const Variable &v)
{
    function_->vars.push_back(v);
    int index = (int)function_->vars.size() - 1;
    variables_.back()[v.name] = index;
    return index;
}

void Parser::block()
{
    expect("{");
    registers_.emplace_back();
    variables_.emplace_back();
    while (!accept("}")) {
        if (peek().kind == Token::End) {
            fail("unbalanced braces");
        }
        if (peek().text == "{") {
            block();
        } else {
            statement();
        }
    }
    registers_.pop_back();
    variables_.pop_back();
}

void Parser::statement()
{
    const std::string t = peek().text;
    if (accept(";")) {
        return;
    }
    if (peek(1).text == ":" && peek().kind == Token::Word) {
        label();
    } else if (t == ".reg") {
        register_declaration();
    } else if (t == ".shared" || t == ".local" || t == ".param" || t == ".const" ||
               t == ".global") {
        for (const Variable &v : declaration()) {
            declare(v);
        }
        expect(";");
    } else if (t == ".pragma" || t == ".callprototype") {
        skip_to_semicolon();
    } else if (t[0] == '.') {
        fail("unsupported directive");
    } else {
        instruction();
    }
}

void Parser::label()
{
    std::string name = next().text;
    next();
    if (accept(".branchtargets")) {
        do {
            branch_tables_[name].push_back(next().text);
        } while (accept(","));
        expect(";");
        for (Instr &i : function_->code) { // the table may follow its brx.idx
            if (i.opcode == "brx" && i.labels.size() == 1 && i.labels[0] == name) {
                i.labels = branch_tables_[name];
            }
        }
        return;
    }
    if (peek().text == ".callprototype") {
        return skip_to_semicolon();
    }
    if (!function_->labels.emplace(name, (int64_t)function_->code.size()).second) {
        fail("duplicate label " + name);
    }
}

void Parser::register_declaration()
{
    next();
    next(); // the type: registers are untyped here
    do {
        if (peek().text == ".v2" || peek().text == ".v4") {
            fail("vector registers");
        }
        std::string name = next().text;
        if (accept("<")) {
            int count = (int)number();
            expect(">");
            for (int i = 0; i < count; i++) {
                registers_.back()[name + std::to_string(i)] = function_->num_regs++;
            }
        } else {
            registers_.back()[name] = function_->num_regs++;
        }
    } while (accept(","));
    expect(";");
}

void parse_module(Module &module, const std::string &text)
{
    module.text = text;
    const Outline outline = outline_of(module.text);
    Parser(module, outline.skeleton, 1).module();
    std::map<int, Outline::Body> bodies; // by line, which survives the way through the skeleton
    for (const Outline::Body &b : outline.functions) {
        bodies[b.line] = b;
    }
    for (auto &[name, f] : module.functions) {
        auto b = bodies.find(f.line);
        if (f.has_body && b != bodies.end()) {
            f.text_begin = b->second.begin;
            f.text_end = b->second.end;
        }
    }
    for (auto &[name, f] : module.functions) {
        if (options().strict) {
            parse_body(module, f);
        }
    }
}

void parse_body(Module &module, Function &f)
{
    if (f.text_begin == f.text_end) {
        return;
    }
    const std::string text = module.text.substr(f.text_begin, f.text_end - f.text_begin);
    Parser(module, text, f.line).function(); // replaces f
    compact_registers(f);
}

} // namespace ptxrun
