/** A model card: Markdown without raw HTML; links leave with no way back to this page. */
import { Typography } from "@mantine/core";
import Markdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";

const COMPONENTS: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  ),
  // an image from elsewhere would tell its host who reads the card
  img: ({ alt }) => <em>{alt}</em>,
};

export default function ModelCard({ text }: { text: string }) {
  return (
    <Typography fz="sm">
      <Markdown remarkPlugins={[remarkGfm]} components={COMPONENTS} skipHtml>
        {text}
      </Markdown>
    </Typography>
  );
}
