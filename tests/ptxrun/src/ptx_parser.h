// The parser's insides, shared by its two files: ptx_parser.cc and ptx_parser_code.cc.
#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "ptx_lexer.h"
#include "ptx_module.h"

namespace ptxrun {

// A recursive-descent parser; it knows the shape of PTX but not the opcodes (ptx_decode.cc does),
// so that an unknown instruction only matters once it is executed.
class Parser {
  public:
    Parser(Module &module, const std::string &text, int first_line)
        : module_(module), text_(text), tokens_(tokenize(text, module.source, first_line))
    {
    }

    void module();
    void function();

  private:
    // ---- token helpers ----
    const Token &peek(size_t ahead = 0)
    {
        return tokens_[std::min(pos_ + ahead, tokens_.size() - 1)];
    }
    Token next() { return tokens_[pos_ < tokens_.size() - 1 ? pos_++ : pos_]; }
    bool accept(const char *text);
    void expect(const char *text);
    [[noreturn]] void fail(const std::string &why);
    void skip_to_semicolon();
    void skip_braces();
    uint64_t number();
    static uint64_t literal(const std::string &s);

    // ---- variables ----
    // .shared .align 4 .b8 name[16], other[4]; also one formal parameter. Ends before ';', ',' or
    // ')'.
    std::vector<Variable> declaration(bool single = false);
    void initializer(Variable &v, size_t element);

    // ---- functions ----
    std::vector<int> formals();
    int declare(const Variable &v);
    void block();
    void statement();
    void label();
    void register_declaration();

    // ---- instructions ----
    void instruction();
    // call (ret), function, (arguments), prototype
    void call(Instr &i);
    Operand operand(Instr &i);
    Operand simple_operand();
    void name_operand(Operand &o);

    using Scopes = std::vector<std::map<std::string, int>>;
    static int find(const Scopes &scopes, const std::string &name);

    Module &module_;
    const std::string &text_;
    std::vector<Token> tokens_;
    size_t pos_ = 0;
    bool extern_ = false;
    std::string unknown_; // register of the current instruction
    Function *function_ = nullptr;
    Scopes registers_, variables_;
    std::map<std::string, std::vector<std::string>> branch_tables_;
};

} // namespace ptxrun
