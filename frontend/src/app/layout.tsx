/** Rail, top bar and the page between them. Loading and errors are handled here, once for every page. */
import { AppShell, Box, Loader, Center } from "@mantine/core";
import { useDisclosure, useHotkeys, useLocalStorage } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect } from "react";
import { Navigate, Outlet, useLocation } from "react-router";
import { ErrorBoundary } from "@/components/error-boundary";
import { ErrorPanel } from "@/components/error-panel";
import { PageSkeleton } from "@/components/loading";
import { sessionQuery } from "@/lib/queries/session";
import { Rail } from "./rail";
import { TopBar } from "./top-bar";
import { useJobListStream } from "./use-job-list-stream";

const CommandPalette = lazy(() => import("./command-palette"));

export function Layout() {
  const { data: session, error, refetch } = useQuery(sessionQuery);
  const location = useLocation();
  if (session?.authenticated && session.user) return <SignedIn />;
  if (session) {
    const next = encodeURIComponent(location.pathname + location.search);
    return <Navigate to={`/login?next=${next}`} replace />;
  }
  if (error) {
    return (
      <Box maw={560} mx="auto" mt="15vh" p="md">
        <ErrorPanel error={error} onRetry={() => void refetch()} />
      </Box>
    );
  }
  return (
    <Center h="100vh">
      <Loader aria-label="Loading" />
    </Center>
  );
}

function SignedIn() {
  const location = useLocation();
  const [isMenuOpen, menu] = useDisclosure(false);
  const [isNarrow, setNarrow] = useLocalStorage({ key: "cox-rail-narrow", defaultValue: false });
  useJobListStream();
  const [isPaletteOpen, palette] = useDisclosure(false);
  useHotkeys([["mod+K", palette.open]], []);
  const closeMenu = menu.close;
  useEffect(() => closeMenu(), [location.pathname, closeMenu]);
  return (
    <AppShell
      header={{ height: 52 }}
      navbar={{ width: isNarrow ? 60 : 200, breakpoint: "sm", collapsed: { mobile: !isMenuOpen } }}
      padding={{ base: "sm", sm: "lg" }}
      transitionDuration={0}
    >
      <AppShell.Header>
        <TopBar isMenuOpen={isMenuOpen} onMenu={menu.toggle} onSearch={palette.open} />
      </AppShell.Header>
      <AppShell.Navbar p="xs">
        <Rail isNarrow={isNarrow && !isMenuOpen} onNarrow={() => setNarrow(!isNarrow)} />
      </AppShell.Navbar>
      <Suspense>
        <CommandPalette opened={isPaletteOpen} onClose={palette.close} />
      </Suspense>
      <AppShell.Main>
        <Box maw={1480} mx="auto">
          <ErrorBoundary key={location.pathname}>
            <Suspense fallback={<PageSkeleton />}>
              <Outlet />
            </Suspense>
          </ErrorBoundary>
        </Box>
      </AppShell.Main>
    </AppShell>
  );
}
