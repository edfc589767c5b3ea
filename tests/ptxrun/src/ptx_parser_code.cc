// PTX text -> Module: statements, labels, instructions and their operands.
#include "ptx_parser.h"

#include <cstdlib>
#include <cstring>

#include "ptx_decode.h"
#include "run_options.h"

namespace ptxrun {

void Parser::instruction()
{
    Instr i;
    i.line = peek().line;
    const size_t begin = peek().begin;
    if (accept("@")) {
        i.pred_negated = accept("!");
        std::string name = next().text;
        i.pred = find(registers_, name);
        if (i.pred < 0) {
            fail("unknown predicate " + name);
        }
    }
    i.place = peek().place; // of the opcode: a predicate begins with punctuation
    const std::string op = next().text;
    for (size_t a = 0; a <= op.size();) {
        size_t b = std::min(op.find('.', a), op.size());
        (a ? i.mods.emplace_back(), i.mods.back() : i.opcode) = op.substr(a, b - a);
        a = b + 1;
    }
    if (i.opcode == "bra" || i.opcode == "brx") {
        if (i.opcode == "brx") {
            i.ops.push_back(operand(i));
            expect(",");
        }
        i.labels.push_back(next().text);
        auto table = branch_tables_.find(i.labels[0]);
        if (i.opcode == "brx" && table != branch_tables_.end()) {
            i.labels = table->second;
        }
    } else if (i.opcode == "call") {
        call(i);
    } else {
        while (peek().text != ";") {
            i.ops.push_back(operand(i));
            if (!accept(",")) {
                break;
            }
        }
    }
    if (peek().text != ";") {
        fail("expected ;");
    }
    i.text = text_.substr(begin, peek().begin - begin);
    next();
    decode(i);
    if (!unknown_.empty()) {
        i.error = "unknown register " + unknown_;
    }
    unknown_.clear();
    if (!i.error.empty() && options().strict) {
        fatal("PTX line %d: %s", i.line, i.error.c_str());
    }
    function_->code.push_back(std::move(i));
}

void Parser::call(Instr &i)
{
    i.call_ret.kind = i.call_args.kind = Operand::Vector;
    auto list = [&](Operand &o) {
        expect("(");
        while (!accept(")")) {
            o.elems.push_back(operand(i));
            accept(",");
        }
    };
    if (peek().text == "(") {
        list(i.call_ret);
        expect(",");
    }
    i.callee = next().text;
    if (accept(",") && peek().text == "(") {
        list(i.call_args);
    }
    while (peek().text != ";") {
        next();
    }
}

Operand Parser::operand(Instr &i)
{
    Operand o = simple_operand();
    if (accept("|")) {
        i.second_dst = simple_operand();
    }
    return o;
}

Operand Parser::simple_operand()
{
    Operand o;
    if (accept("_")) {
        return o;
    }
    if (accept("!")) {
        o = simple_operand();
        o.negated = true;
    } else if (accept("{")) {
        o.kind = Operand::Vector;
        while (!accept("}")) {
            o.elems.push_back(simple_operand());
            accept(",");
        }
    } else if (accept("[")) {
        o.kind = Operand::Address;
        o.elems.push_back(simple_operand());
        if (accept("+")) {
            o.imm = number();
        }
        while (accept(",")) {
            o.elems.push_back(simple_operand());
        }
        expect("]");
    } else if (peek().kind == Token::Number || peek().text == "-") {
        o.kind = Operand::Imm;
        o.imm = number();
    } else {
        name_operand(o);
    }
    return o;
}

void Parser::name_operand(Operand &o)
{
    if (peek().kind != Token::Word) {
        fail("unexpected operand");
    }
    const std::string name = next().text;
    if ((o.reg = find(registers_, name)) >= 0) {
        o.kind = Operand::Reg;
    } else if ((o.reg = special_from_name(name)) >= 0) {
        o.kind = Operand::Special;
    } else if (name[0] == '%') {
        unknown_ = name; // perhaps a special register of a newer PTX: an error only if executed
    } else {
        o.kind = Operand::Imm; // an address, known after linking
        o.variable = find(variables_, name);
        if (o.variable < 0) {
            o.symbol = name;
        }
        if (peek().text == "+" && peek(1).kind == Token::Number) {
            next();
            o.imm = number();
        }
    }
}

int Parser::find(const Scopes &scopes, const std::string &name)
{
    for (size_t i = scopes.size(); i--;) {
        auto f = scopes[i].find(name);
        if (f != scopes[i].end()) {
            return f->second;
        }
    }
    return -1;
}

} // namespace ptxrun
