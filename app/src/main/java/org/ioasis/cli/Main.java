package org.ioasis.cli;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * The {@code ioasis} command: parses the arguments and hands over to one command class. Runs on the
 * main thread.
 */
@Command(
        name = "ioasis",
        description = "A virtual IOMMU in user space.",
        mixinStandardHelpOptions = true,
        version = "ioasis 0.1.0",
        subcommands = {
            VmCommand.class,
            ServeCommand.class,
            ViotCommand.class,
            DeviceTreeCommand.class,
            CompareCommand.class,
            AskCommand.Dump.class,
            AskCommand.Check.class,
            AskCommand.Inject.class,
            AskCommand.Rogue.class
        })
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new Main()).execute(args));
    }
}
