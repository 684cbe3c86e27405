// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.ServiceLoader;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.sys.ErrnoException;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ParameterException;

/**
 * The {@code ioasis} command: parses the arguments, hands over to one command class, and says in
 * one place what is wrong when that cannot go on. Runs on the main thread.
 */
@Command(
        name = "ioasis",
        description = "A virtual IOMMU in user space.",
        mixinStandardHelpOptions = true,
        version = "ioasis 0.1.0",
        subcommands = {
            DemoCommand.class,
            VmCommand.class,
            ServeCommand.class,
            HostCommand.class,
            SelftestsCommand.class,
            ViotCommand.class,
            DeviceTreeCommand.class,
            AskCommand.Dump.class,
            AskCommand.Check.class,
            AskCommand.Inject.class,
            AskCommand.Rogue.class,
            CommandLine.HelpCommand.class
        })
public final class Main {
    private static final int FAILED = 1;
    private static final int WRONG = 2;

    private Main() {}

    public static void main(String[] args) {
        System.exit(checked(commandLine().execute(args)));
    }

    /** A stream of Java's keeps what is wrong to itself: a full disk must not look like success. */
    private static int checked(int code) {
        if (System.out.checkError() && code == 0) {
            System.err.println("ioasis: standard output cannot be written");
            return FAILED;
        }
        return code;
    }

    /** The command with all its subcommands. */
    public static CommandLine commandLine() {
        CommandLine all = new CommandLine(new Main());
        CommandLine serve = requireNonNull(all.getSubcommands().get(ServeCommand.NAME));
        ServeCommand.addKinds(serve.getCommandSpec());
        // What stands behind PROGRAM is PROGRAM's, as with env or strace.
        requireNonNull(all.getSubcommands().get(HostCommand.NAME)).setStopAtPositional(true);
        ServiceLoader.load(Subcommand.class).forEach(all::addSubcommand);
        return all.setParameterExceptionHandler((wrong, _) -> refused(wrong))
                .setExecutionExceptionHandler((failure, command, _) -> failed(failure, command));
    }

    /** The usage, and behind it, where a terminal still shows it, what is wrong. */
    private static int refused(ParameterException wrong) {
        CommandLine command = wrong.getCommandLine();
        command.usage(command.getErr());
        command.getErr()
                .printf(
                        "%n%s: %s%s%n",
                        command.getCommandSpec().qualifiedName(),
                        String.valueOf(wrong.getMessage())
                                .replaceFirst("' is not an? (?:int|long)$", "' is no number here"),
                        Spelling.hint(wrong));
        return WRONG;
    }

    /** A bug of ours goes on as an exception, which picocli prints with its stack trace. */
    private static int failed(Exception failure, CommandLine command) throws Exception {
        return switch (failure) {
            case UsageException wrong ->
                    refused(new ParameterException(command, wrong.getMessage()));
            case UnavailableException missing -> {
                command.getErr().println("ioasis: " + missing.getMessage());
                yield missing.exitCode();
            }
            case IOException broken -> {
                command.getErr().println("ioasis: " + inWords(broken));
                yield FAILED;
            }
            default -> throw failure;
        };
    }

    /** The message of some of these is the file's name and nothing else. */
    private static String inWords(IOException failure) {
        return switch (failure) {
            case NoSuchFileException missing -> missing.getFile() + ": no such file or folder";
            case AccessDeniedException denied -> denied.getFile() + ": permission denied";
            case NotDirectoryException other -> other.getFile() + ": not a folder";
            case FileAlreadyExistsException there -> there.getFile() + ": is there already";
            case ErrnoException refused -> refused.inWords();
            default -> String.valueOf(failure.getMessage());
        };
    }
}
