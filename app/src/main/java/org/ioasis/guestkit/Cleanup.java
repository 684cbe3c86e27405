// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Everything of a run that would outlive it: child processes, temporary folders, and what others
 * ask to be closed. It is undone by {@link #close}, and by the end of the JVM however that comes
 * about (Ctrl-C, SIGTERM, an error), except by SIGKILL.
 *
 * <p>Children are started and folders are made through this class, so that there is no moment in
 * which one exists and is not registered; after the end has begun, neither is possible any more.
 * Any thread.
 */
public final class Cleanup implements AutoCloseable {
    /** A killed child is gone in milliseconds; a kernel that needs longer does not hold us up. */
    private static final Duration DEATH_LIMIT = Duration.ofSeconds(5);

    private static final long DEATH_PAUSE_MILLIS = 2;

    /** Another thread may still be writing into a folder while it is removed. */
    private static final int DELETE_ATTEMPTS = 20;

    private static final long DELETE_PAUSE_MILLIS = 25;

    /** Makes a folder and tells where it is. */
    @FunctionalInterface
    public interface FolderMaker {
        /** Called once, while the end of the run is held off. */
        Path make() throws IOException;
    }

    private final Object lock = new Object();
    private final Set<Process> processes = new LinkedHashSet<>();
    private final Set<Path> folders = new LinkedHashSet<>();
    private final List<Runnable> actions = new ArrayList<>();
    private boolean isEnding;
    private @Nullable Thread hook;

    private Cleanup() {}

    /** A cleanup that also runs when the JVM ends. */
    public static Cleanup atExit() {
        Cleanup cleanup = new Cleanup();
        Thread hook = new Thread(cleanup::undo, "cleanup");
        cleanup.hook = hook;
        Runtime.getRuntime().addShutdownHook(hook);
        return cleanup;
    }

    /** Starts a child process, and says what it is. */
    @FunctionalInterface
    public interface Starter {
        /** Called once, while the end of the run is held off. */
        Process start() throws IOException;
    }

    /** Starts a child process that does not outlive this cleanup. */
    public Process start(ProcessBuilder builder) throws IOException {
        return start(builder::start);
    }

    /** The same for one that is started otherwise. */
    public Process start(Starter starter) throws IOException {
        synchronized (lock) {
            refuseWhenEnding();
            Process process = starter.start();
            processes.add(process);
            return process;
        }
    }

    /** Kills a child and all its descendants at once, and waits until they are gone. */
    public void kill(Process process) {
        killTree(List.of(process));
        forget(process);
    }

    /** The child has ended and was waited for; there is nothing left to kill. */
    public void forget(Process process) {
        synchronized (lock) {
            processes.remove(process);
        }
    }

    /** Makes a folder that does not outlive this cleanup. */
    public Path folder(FolderMaker maker) throws IOException {
        synchronized (lock) {
            refuseWhenEnding();
            Path folder = maker.make();
            folders.add(folder);
            return folder;
        }
    }

    /** Removes a folder and what is in it, now. Never throws: what cannot be removed stays. */
    public void delete(Path folder) {
        deleteTree(folder);
        synchronized (lock) {
            folders.remove(folder);
        }
    }

    /** Gives the finished folder its final name; from then on it is kept. */
    public void keep(Path folder, Path name) throws IOException {
        synchronized (lock) {
            refuseWhenEnding();
            Files.move(folder, name);
            folders.remove(folder);
        }
    }

    /** At the end, after the children are gone, {@code action} runs; the latest one first. */
    public void add(Runnable action) throws IOException {
        synchronized (lock) {
            refuseWhenEnding();
            actions.add(action);
        }
    }

    /** The run is being undone: what fails from now on is no news for the user. */
    public boolean isEnding() {
        synchronized (lock) {
            return isEnding;
        }
    }

    private void refuseWhenEnding() throws IOException {
        if (isEnding) {
            throw new IOException("the run is ending");
        }
    }

    /** Kills, runs and removes what is left, in this order. Works twice as well as once. */
    @Override
    public void close() {
        Thread registered = hook;
        if (registered != null) {
            try {
                Runtime.getRuntime().removeShutdownHook(registered);
            } catch (IllegalStateException endOfJvm) {
                // The hook is running already; undo() below finds nothing or helps it.
            }
        }
        undo();
    }

    private void undo() {
        List<Process> children;
        List<Runnable> closers;
        List<Path> leftovers;
        synchronized (lock) {
            isEnding = true;
            children = List.copyOf(processes);
            closers = List.copyOf(actions).reversed();
            leftovers = List.copyOf(folders).reversed();
            processes.clear();
            actions.clear();
            folders.clear();
        }
        killTree(children);
        for (Runnable closer : closers) {
            try {
                closer.run();
            } catch (RuntimeException e) {
                // The rest must be undone all the same.
                System.err.println("ioasis: at the end of the run: " + e);
            }
        }
        leftovers.forEach(Cleanup::deleteTree);
    }

    private static void killTree(List<Process> roots) {
        List<ProcessHandle> all = new ArrayList<>();
        for (Process root : roots) {
            if (!root.isAlive()) {
                // Its number may belong to somebody else by now.
                continue;
            }
            // Descendants first: once the parent is gone, they can no longer be found.
            try (Stream<ProcessHandle> descendants = root.descendants()) {
                descendants.forEach(all::add);
            }
            all.add(root.toHandle());
        }
        all.forEach(ProcessHandle::destroyForcibly);
        long deadline = System.nanoTime() + DEATH_LIMIT.toNanos();
        boolean wasInterrupted = false;
        // Asked again and again: ProcessHandle.onExit looks at a child's child a few times a
        // second.
        while (all.stream().anyMatch(Cleanup::isRunning)) {
            if (System.nanoTime() - deadline > 0) {
                System.err.println("ioasis: a child process does not end");
                break;
            }
            try {
                Thread.sleep(DEATH_PAUSE_MILLIS);
            } catch (InterruptedException e) {
                wasInterrupted = true;
            }
        }
        // Then they are known to have ended, which is a thread's of the JVM to find out.
        for (Process root : roots) {
            try {
                root.waitFor(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            } catch (InterruptedException e) {
                wasInterrupted = true;
            }
        }
        if (wasInterrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /**
     * Whether a process still does anything. A killed process whose new parent has not yet asked
     * how it ended is a zombie (proc(5)): it has a number, but no files and no memory any more, and
     * for how long is not in our hands.
     */
    public static boolean isRunning(ProcessHandle process) {
        if (!process.isAlive()) {
            return false;
        }
        try {
            String stat =
                    Files.readString(
                            Path.of("/proc", Long.toString(process.pid()), "stat"),
                            StandardCharsets.ISO_8859_1);
            return !stat.startsWith(" Z", stat.lastIndexOf(')') + 1);
        } catch (IOException gone) {
            return false;
        }
    }

    private static void deleteTree(Path folder) {
        for (int attempt = 1; attempt <= DELETE_ATTEMPTS; attempt++) {
            try {
                deleteOnce(folder);
                return;
            } catch (NoSuchFileException | DirectoryNotEmptyException raced) {
                try {
                    Thread.sleep(DELETE_PAUSE_MILLIS);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    return;
                }
            } catch (IOException e) {
                System.err.println("ioasis: cannot remove " + folder + ": " + e);
                return;
            }
        }
    }

    private static void deleteOnce(Path folder) throws IOException {
        if (!Files.exists(folder, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        Files.walkFileTree(
                folder,
                new SimpleFileVisitor<>() {
                    @Override
                    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
                            throws IOException {
                        Files.deleteIfExists(file);
                        return FileVisitResult.CONTINUE;
                    }

                    @Override
                    public FileVisitResult postVisitDirectory(
                            Path directory, @Nullable IOException failure) throws IOException {
                        if (failure != null) {
                            throw failure;
                        }
                        Files.deleteIfExists(directory);
                        return FileVisitResult.CONTINUE;
                    }
                });
    }
}
