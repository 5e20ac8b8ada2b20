/** Routes made from the table of pages; every page loads by itself. */
import { lazy, Suspense } from "react";
import { Navigate, type RouteObject } from "react-router";
import { Layout } from "./layout";
import { PAGES } from "./pages";

const LoginPage = lazy(() => import("@/features/auth/login-page"));
const NotFoundPage = lazy(() => import("./not-found-page"));

export const routes: RouteObject[] = [
  {
    path: "/login",
    element: (
      <Suspense>
        <LoginPage />
      </Suspense>
    ),
  },
  { path: "/index.html", element: <Navigate to="/" replace /> },
  {
    element: <Layout />,
    children: [
      ...PAGES.map(({ path, load }) => {
        const Component = lazy(load);
        return { path, element: <Component /> };
      }),
      { path: "*", element: <NotFoundPage /> },
    ],
  },
];
