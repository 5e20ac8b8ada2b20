/** Lint rules, and the one-way street between folders: app > features > components > lib. */
import reactHooks from "eslint-plugin-react-hooks";
import globals from "globals";
import tseslint from "typescript-eslint";

const climbing = { group: ["../../*", "../../**"], message: "Import across folders with @/." };
const sideways = { group: ["../*", "../**"], message: "Import across folders with @/." };
const layer = (name) => ({
  group: [`@/${name}`, `@/${name}/**`],
  message: `One way only: app > features > components > lib, and no feature imports another (${name}).`,
});
const boundary = (files, patterns) => ({ files, rules: { "no-restricted-imports": ["error", { patterns }] } });

export default tseslint.config(
  { ignores: ["dist/**", "node_modules/**", "src/lib/api-schema.d.ts", "*.config.*", "scripts/**"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      globals: globals.browser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { attributes: false } }],
      "@typescript-eslint/consistent-type-imports": "error",
      "max-lines": ["error", { max: 400 }],
      complexity: ["error", 12],
      "no-console": "error",
      eqeqeq: "error",
    },
  },
  {
    files: ["**/*.tsx"],
    plugins: { "react-hooks": reactHooks },
    rules: {
      "react-hooks/rules-of-hooks": "error",
      "react-hooks/exhaustive-deps": "error",
      "react/no-danger": "off",
      "max-lines": ["error", { max: 200 }],
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: "Text from outside is never markup.",
        },
      ],
    },
  },
  boundary(["src/lib/**"], [climbing, layer("components"), layer("features"), layer("app")]),
  boundary(["src/components/**"], [climbing, layer("features"), layer("app")]),
  boundary(["src/features/*/**"], [climbing, layer("features"), layer("app")]),
  boundary(["src/features/*/*.{ts,tsx}"], [sideways, layer("features"), layer("app")]),
  boundary(["src/app/**"], [sideways]),
);
